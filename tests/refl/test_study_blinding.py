"""What annotators can find out about a study's images: nothing, whatever they look at."""

import random

import pytest
from django.db import connection
from django.test import Client

from annotation.models import Assignment, Generation, Image
from annotation.services.assignments.assignments import claim_next
from refl.models import Generator
from tests.annotation.posts import address, begin, filled_in, left_as_draft
from tests.annotation.test_api import signed_in
from tests.annotation.test_blinding import FIRST_ID, said_of_images
from tests.cast import NOW
from tests.refl.studied import draw, hand_in

NAMES = ("alpha-base-0", "beta-tuned-1")


@pytest.fixture
def blind(a_study, generator, rivals):
    """A study of generators whose names, and the ids of whose images, appear nowhere else on a page."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT setval(pg_get_serial_sequence('annotation_generation', 'id'), %s)", [FIRST_ID])
    for row, name in zip((generator, rivals[0]), NAMES, strict=True):
        Generator.objects.filter(pk=row.pk).update(name=name)
        row.name = name

    def make(**asked):
        return hand_in(a_study(**{"captions": 8, "name": "who-is-better"} | asked))

    return make


def secrets_in(text):
    keys = Generation.objects.values_list("prompt__key", "source", "image_id")
    secrets = {
        *NAMES,
        "who-is-better",
        "is_of_study",
        "71234567",
        "70000",
        *(part for row in keys for part in row),
    }
    return sorted(secret for secret in secrets if secret in text)


def test_a_page_and_the_api_say_nothing_of_whose_images_a_study_shows(blind, alice, project):
    blind()
    Generation.objects.update(score=71234567.0, scored_by="a-judge")
    client = Client()
    for _ in range(8):
        task = begin(client, alice, project)
        page = client.get(f"/work/{project.slug}/").text
        said = said_of_images(page)
        assert said[1] == said[2]
        assert secrets_in(page) == []
        assert "study" not in page.lower()
        claimed = signed_in(alice).post(f"/api/v1/projects/{project.slug}/tasks/next/").content.decode()
        assert secrets_in(claimed) == []
        drafted = client.post(address(task) + "draft/", left_as_draft(task, **{"slot-1": "2"}))
        assert secrets_in(str(drafted.headers) + client.get(f"/work/{project.slug}/").text) == []
        answered = client.post(address(task), filled_in(task, slots=[1, 2]))
        assert answered.status_code == 302
    own = client.get(f"/work/{project.slug}/answers/").text
    api = signed_in(alice).get(f"/api/v1/projects/{project.slug}/answers/").content.decode()
    assert secrets_in(own + api) == []


def test_the_files_of_a_study_and_their_headers_name_nobody(a_study, alice, project):
    study = draw(a_study(captions=2))
    client = Client()
    client.force_login(alice)
    names = [generator.name for generator in study.compared]
    told = set()
    for image in Image.objects.all():
        response = client.get(f"/images/{image.token}", headers={"X-Request-ID": "one-for-all"})
        content = b"".join(response.streaming_content)
        headers = {
            name: value for name, value in response.headers.items() if name not in ("ETag", "Content-Length")
        }
        told.add(str(headers))
        for name in names:
            assert name.encode() not in content
            assert name not in str(response.headers)
    assert Image.objects.count() == 4
    assert len(told) == 1


def test_neither_ids_nor_the_order_shown_follow_the_generators(a_study, alice, project):
    study = draw(a_study(captions=11))
    orders, shown = set(), set()
    for task in study.tasks.all():
        makers = (
            Generation.objects.filter(prompt=task.prompt_id)
            .order_by("pk")
            .values_list("generator", flat=True)
        )
        orders.add(tuple(makers))
    luck = random.Random(4)
    while (task := claim_next(annotator=alice, project=project, now=NOW, generator=luck)) is not None:
        makers = dict(Generation.objects.filter(pk__in=task.order).values_list("pk", "generator"))
        shown.add(tuple(makers[pk] for pk in task.order))
        Assignment.objects.filter(pk=task.pk).update(state="accepted", submitted_at=NOW, accepted_at=NOW)
    # Chance orders eleven pairs alike in one case of a thousand; the draws here are always the same.
    assert len(orders) == len(shown) == 2


def test_all_tasks_open_at_once_and_look_like_ordinary_ones_to_who_asks(blind, alice, project):
    blind(opinions=2)
    rows = Assignment.objects.filter(project=project)
    assert rows.count() == 16
    assert set(rows.values_list("state", flat=True)) == {"open"}
    task = claim_next(annotator=alice, project=project, now=NOW, generator=random.Random(1))
    assert [image.is_flagged for image in task.images] == [False, False]


def test_an_inspector_reviews_a_studys_answers_without_learning_whose_they_are(blind, alice, rita, project):
    blind()
    client = Client()
    task = begin(client, alice, project)
    client.post(address(task), filled_in(task, slots=[1, 2]))
    inspecting = Client()
    inspecting.force_login(rita)
    page = inspecting.get(f"/inspect/{task.pk}/").text
    assert page.count('alt="Image ') == 2
    assert [secret for secret in secrets_in(page) if secret != task.prompt.key] == []
