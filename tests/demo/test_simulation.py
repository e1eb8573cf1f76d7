"""Simulated annotators: they work over HTTP, through the pages that people use."""

import pytest

from annotation.models import Assignment, Placement, PromptLabel, Rating
from annotation.selectors.preferences import finished_rankings
from demo.people import Person
from demo.simulation import Strayed, simulate
from demo.world.annotators import Annotator
from demo.world.oracle import judge

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def let_work(live_server, project):
    def work(people, tasks):
        return simulate(
            url=live_server.url,
            project=project.slug,
            people=people,
            tasks=tasks,
            seed=0,
            on_task=lambda: None,
        )

    return work


def test_people_sign_in_and_do_all_three_stages(drawn_work, people, let_work):
    drawn_work(3)
    assert let_work(people, tasks=3) == 3
    answered = Assignment.objects.exclude(state__in=["open", "leased"])
    assert answered.count() == 3
    assert PromptLabel.objects.count() == 3
    assert Rating.objects.count() == Placement.objects.count() == 12


def test_people_stop_when_enough_is_done_and_when_nothing_is_left(drawn_work, people, let_work):
    drawn_work(4)
    assert let_work(people, tasks=1) == 1
    assert let_work(people, tasks=100) == 3


def test_what_they_prefer_is_mostly_what_the_oracle_prefers(drawn_work, people, let_work, project):
    from io import BytesIO

    from django.core.files.storage import default_storage
    from PIL import Image

    drawn_work(12)
    let_work(people, tasks=12)
    Assignment.objects.filter(state="submitted").update(state="accepted", accepted_at="2026-03-14T09:00Z")
    right = pairs = 0
    for ranking in finished_rankings(project):
        files = [default_storage.open(image.file).read() for image in ranking.images]
        scores = [
            judge(Image.open(BytesIO(file)).convert("RGB"), ranking.prompt_text).score for file in files
        ]
        for i in range(4):
            for j in range(4):
                if ranking.slots[i] < ranking.slots[j]:
                    pairs += 1
                    right += scores[i] > scores[j]
    assert right / pairs > 0.75


def test_a_wrong_password_is_said_and_nothing_is_done(drawn_work, people, let_work):
    drawn_work(1)
    stranger = Person(people[0].name, "wrong", Annotator.drawn(0))
    with pytest.raises(Strayed, match="could not sign in"):
        let_work([stranger], tasks=1)
    assert Assignment.objects.get().state == "open"
