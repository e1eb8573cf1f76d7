"""The page of a reward model: its pictures, for researchers and admins alone."""

import pytest
from django.urls import reverse

from annotation.models import Generation
from annotation.services.assignments.priorities import record_scores
from annotation.services.projects.projects import add_member
from rewardmodel.models import RewardCheckpoint
from rewardmodel.services.checkpoints import promote
from tests.cast import NOW


@pytest.fixture
def page(client, project, encoder):
    """The page of `encoder`, as somebody sees it."""

    def show(person):
        if client.session.get("_auth_user_id") != str(person.pk):
            client.force_login(person)
        return client.get(reverse("checkpoint", args=[project.slug, encoder.pk]))

    return show


@pytest.fixture
def scored(rank, encoder):
    """alice likes the third image best on four prompts, the model the first; it has learned from one."""
    rank(4)
    scores = {image.pk: float(-number) for number, image in enumerate(Generation.objects.order_by("pk"))}
    learned = Generation.objects.order_by("pk")[:3]
    record_scores(scores=scores, scored_by=encoder.name, unseen=set(scores) - {image.pk for image in learned})
    return Generation.objects.order_by("pk")


def test_it_shows_the_best_the_worst_and_what_people_say_otherwise(
    page, ada, scored, django_assert_max_num_queries
):
    page(ada)
    with django_assert_max_num_queries(15):
        text = page(ada).text
    assert text.index("Ranked highest") < text.index(f"/images/{scored[0].image.token}/small")
    assert "−11.000" in text  # noqa: RUF001  # a minus is meant
    assert text.count('class="pair"') == 4  # the first against the third, once a prompt
    assert text.count("1 vote<br>") == text.count("0 votes<br>") == 4
    assert text.count("learned from</span>") == 1
    assert text.rindex('class="pair"') < text.index("learned from</span>")
    assert reverse("project-prompt", args=[scored[0].prompt.project.slug, scored[0].prompt_id]) in text


def test_that_it_was_promoted_by_hand_is_said_once(page, ada, encoder):
    promote(encoder, now=NOW)
    assert page(ada).text.count("by hand") == 1


def test_researchers_see_it_without_links_to_pages_that_are_not_theirs(page, rosa, scored):
    text = page(rosa).text
    assert text.count("/small") > 8
    assert "/prompts/" not in text


@pytest.mark.parametrize("who", ["alice", "rita", "eve"])
def test_for_everybody_else_there_is_nothing(page, request, scored, who):
    assert page(request.getfixturevalue(who)).status_code == 404


def test_without_scores_it_says_what_to_do(page, ada, project, rank, encoder):
    assert "no images yet" in page(ada).text
    rank(1)
    text = page(ada).text
    assert f"manage.py score_images {project.slug} --checkpoint {encoder}" in text
    assert "0</strong><span>of 3 images have its score" in text
    Generation.objects.update(score=1.0, scored_by="reward-9")
    text = page(ada).text
    assert "the scores there are by reward-9" in text
    assert "replaces the others" in text


def test_a_checkpoint_of_another_project_is_not_there(client, a_project, eve, project, encoder):
    other = a_project()
    add_member(project=other, user=eve, role="admin")
    client.force_login(eve)
    assert client.get(reverse("checkpoint", args=[other.slug, encoder.pk])).status_code == 404
    assert RewardCheckpoint.objects.get().get_absolute_url() == reverse(
        "checkpoint", args=[project.slug, encoder.pk]
    )


def test_the_list_of_models_shows_what_the_promoted_one_ranks_highest(client, ada, project, encoder, scored):
    client.force_login(ada)
    address = reverse("project-models", args=[project.slug])
    assert "Ranked highest" not in client.get(address).text
    promote(encoder, now=NOW)
    text = client.get(address).text
    assert text.count("/small") == 2 * 6
    assert text.index("Ranked highest") < text.index(f"/images/{scored[0].image.token}/small")
    assert reverse("checkpoint", args=[project.slug, encoder.pk]) in text
    Generation.objects.update(score=None, scored_by="")
    assert f"manage.py score_images {project.slug}" in client.get(address).text


def test_an_admin_of_several_projects_sees_the_best_images_of_each(client, ada, a_project, encoder, scored):
    a_project()
    promote(encoder, now=NOW)
    client.force_login(ada)
    text = client.get(reverse("models")).text
    assert text.count("/small") == 4
    assert f"/images/{scored[0].image.token}/small" in text
