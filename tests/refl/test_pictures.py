"""Images of generators on pages for admins: in strips, and before and after a tuning."""

import io
import json

import pytest
from django.urls import reverse
from PIL import Image

from annotation.models import Generation, Membership
from annotation.services.projects.projects import add_member
from annotation.services.projects.prompts import NewImage, add_generations
from refl.judged_images import store_judged
from refl.learning.sampling import grid
from refl.services.generators import keep_if_sound, register_tuned, set_unimproved_aside
from refl.services.tuning import queue_tuning
from refl.views.pictures import STRIP
from tests.cast import picture
from tests.refl.test_generators import FALL, RISE
from tests.refl.test_pages import GUARDS

HELD_OUT = ["a fox", "a cat", "an owl & a hen"]


def plain(count, shade):
    return [Image.new("RGB", (16, 24), (shade + number, 10, 20)) for number in range(count)]


def store_samples(run, *steps):
    """Grids of two samples each, whose shade is the update's number."""
    (run.folder / "samples").mkdir(parents=True)
    (run.folder / "prompts.json").write_text(json.dumps({"tuning": ["a red fox", "a red cat", "no sample"]}))
    run.config = {**run.config, "sample_prompts": 2}
    run.save()
    for step in steps:
        grid(plain(2, step)).save(run.folder / "samples" / f"step-{step:06}.png")


@pytest.fixture
def a_tuning(project, generator, prompts, promoted, policy):
    """Makes a tuning's result: `a_tuning(judged=True)`."""

    def make(*, judged):
        run = queue_tuning(project=project)
        run.folder.mkdir(parents=True)
        if judged:
            count = len(HELD_OUT)
            store_judged(run.folder, HELD_OUT, range(count), plain(count, 0), plain(count, 100))
        type(run).objects.filter(pk=run.pk).update(state="finished", finished_at=run.created_at)
        return register_tuned(run=run)

    return make


@pytest.fixture
def page_of(client, ada, project):
    def read(generator):
        client.force_login(ada)
        response = client.get(reverse("generator", args=[project.slug, generator.pk]))
        assert response.status_code == 200
        return response

    return read


def shade(client, address):
    response = client.get(address)
    assert response.status_code == 200
    assert "immutable" in response.headers["Cache-Control"]
    with Image.open(io.BytesIO(b"".join(response))) as image:
        assert image.size == (16, 24)
        return image.convert("RGB").getpixel((3, 3))[0]


def test_a_tuned_generator_is_shown_beside_its_parent_on_the_prompts_that_judged_it(
    client, page_of, generator, a_tuning
):
    tuned = a_tuning(judged=True)
    keep_if_sound(tuned, tuned_on=RISE, held_out={"shipped": FALL})
    page = page_of(tuned)
    pairs = page.context["pairs"]
    assert [pair.prompt for pair in pairs] == HELD_OUT
    assert {(pair.before.name, pair.after.name) for pair in pairs} == {(generator.name, tuned.name)}
    assert [shade(client, pair.before.url) for pair in pairs] == [0, 1, 2]
    assert [shade(client, pair.after.url) for pair in pairs] == [100, 101, 102]
    text = page.content.decode()
    assert text.count("<before-after>") == 3
    assert "an owl &amp; a hen" in text
    assert 'width="16" height="24"' in text
    assert "held out from tuning" in text


@pytest.mark.parametrize(("best", "step", "name"), [(20, 20, "tuned-1"), (0, 30, "after 30 updates")])
def test_a_generator_that_was_not_judged_is_shown_by_its_runs_samples(
    client, page_of, a_tuning, best, step, name
):
    tuned = a_tuning(judged=False)
    store_samples(tuned.run, 0, 20, 30)
    set_unimproved_aside(tuned, guards=type(GUARDS)(**{**vars(GUARDS), "best": best}))
    page = page_of(tuned)
    pairs = page.context["pairs"]
    assert [pair.prompt for pair in pairs] == ["a red fox", "a red cat"]
    assert [pair.after.name for pair in pairs] == [name.replace("tuned-1", tuned.name)] * 2
    assert [shade(client, pair.before.url) for pair in pairs] == [0, 1]
    assert [shade(client, pair.after.url) for pair in pairs] == [step, step + 1]
    assert "It was tuned on these prompts" in page.content.decode()


@pytest.mark.parametrize("step", [0, 3])
def test_a_page_opens_where_no_sample_can_be_read(page_of, a_tuning, step):
    tuned = a_tuning(judged=False)
    store_samples(tuned.run, 0, 3)
    (tuned.run.folder / "samples" / f"step-{step:06}.png").write_bytes(b"cut off")
    assert "No image of it yet" in page_of(tuned).content.decode()


@pytest.mark.parametrize("share", [0, 0.5], ids=["no image", "cut off"])
def test_a_sample_that_cannot_be_read_is_not_found(client, ada, project, a_tuning, share):
    tuned = a_tuning(judged=False)
    store_samples(tuned.run, 0)
    file = tuned.run.folder / "samples" / "step-000000.png"
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * share)])
    client.force_login(ada)
    assert client.get(reverse("sample-image", args=[project.slug, tuned.run.pk, 0, 0])).status_code == 404


def test_the_list_shows_each_generator_by_images_of_the_same_prompts(
    client, ada, project, generator, a_tuning
):
    first = a_tuning(judged=True)
    keep_if_sound(first, tuned_on=RISE, held_out={"shipped": RISE})
    second = a_tuning(judged=True)
    client.force_login(ada)
    rows = client.get(reverse("project-generators", args=[project.slug])).context["generators"]
    assert [row["generator"] for row in rows] == [second, first, generator]
    assert [[image.prompt for image in row["strip"]] for row in rows] == [HELD_OUT] * 3
    assert [shade(client, row["strip"][0].url) for row in rows] == [100, 100, 0]


def test_an_untuned_generator_is_shown_by_what_its_children_were_judged_beside(
    client, page_of, generator, a_tuning
):
    a_tuning(judged=True)
    strip = page_of(generator).context["strip"]
    assert [shade(client, image.url) for image in strip] == [0, 1, 2]


def test_a_generator_without_tuning_is_shown_by_what_it_made_for_annotators(
    client, ada, page_of, project, generator, prompts
):
    for number, prompt in enumerate(prompts[: STRIP + 1]):
        add_generations(
            prompt=prompt,
            images=[
                NewImage(picture(2 * number), f"{number}.png", generator=generator.name),
                NewImage(picture(2 * number + 1), f"{number}-other.png", generator="another"),
            ],
        )
    flagged = Generation.objects.filter(generator=generator.name).first()
    Generation.objects.filter(pk=flagged.pk).update(is_flagged=True)
    page = page_of(generator)
    strip = page.context["strip"]
    assert [image.prompt for image in strip] == [prompt.text for prompt in prompts[:STRIP]]
    assert [image.is_harmful for image in strip] == [True] + [False] * (STRIP - 1)
    assert page.content.decode().count('class="veiled"') == 1


def test_each_project_is_listed_with_images_of_its_newest_kept_generator(
    client, ada, a_project, generator, a_tuning
):
    a_project()
    kept = a_tuning(judged=True)
    keep_if_sound(kept, tuned_on=RISE, held_out={"shipped": RISE})
    client.force_login(ada)
    rows = client.get(reverse("generators")).context["rows"]
    assert {row["newest"]: len(row["strip"]) for row in rows} == {kept: 3, None: 0}


def test_a_list_of_many_generators_takes_no_more_statements(
    client, ada, project, generator, a_tuning, django_assert_max_num_queries
):
    client.force_login(ada)
    page = reverse("project-generators", args=[project.slug])
    with django_assert_max_num_queries(20) as few:
        client.get(page)
    for _ in range(3):
        a_tuning(judged=True)
    with django_assert_max_num_queries(len(few)):
        client.get(page)


@pytest.mark.parametrize("role", [Membership.Role.ANNOTATOR, Membership.Role.INSPECTOR, None])
def test_nobody_but_admins_sees_images_of_generators(client, eve, project, a_tuning, role):
    tuned = a_tuning(judged=True)
    store_samples(tuned.run, 0)
    if role:
        add_member(project=project, user=eve, role=role)
    client.force_login(eve)
    for name, *arguments in (
        ("generator", tuned.pk),
        ("judged-image", tuned.run.pk, 0, "after"),
        ("sample-image", tuned.run.pk, 0, 0),
    ):
        assert client.get(reverse(name, args=[project.slug, *arguments])).status_code == 404


def test_what_is_no_image_of_a_run_is_not_found(client, ada, project, a_project, a_tuning):
    tuned = a_tuning(judged=True)
    store_samples(tuned.run, 0)
    client.force_login(ada)
    run, other = tuned.run.pk, a_project().slug
    for name, slug, *arguments in (
        ("generator", other, tuned.pk),
        ("judged-image", other, run, 0, "after"),
        ("judged-image", project.slug, run, len(HELD_OUT), "after"),
        ("judged-image", project.slug, run, 0, "during"),
        ("judged-image", project.slug, run, 0, ".."),
        ("sample-image", other, run, 0, 0),
        ("sample-image", project.slug, run, 0, 2),
        ("sample-image", project.slug, run, 1, 0),
    ):
        assert client.get(reverse(name, args=[slug, *arguments])).status_code == 404, arguments
