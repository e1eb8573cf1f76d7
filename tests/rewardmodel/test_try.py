"""The page on which the promoted model is tried: what it shows, and how it refuses."""

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from rewardmodel.services.checkpoints import promote
from tests.cast import NOW, picture
from tests.rewardmodel.serving.test_served_scores import model, scorer, served  # noqa: F401  # fixtures

HTMX = {"HX-Request": "true"}


@pytest.fixture
def researcher(client, rosa):
    client.force_login(rosa)
    return client


def send(client, project, *files, prompt="red circle"):
    images = [SimpleUploadedFile(f"{number}.png", file) for number, file in enumerate(files)]
    return client.post(f"/projects/{project.slug}/try/", {"prompt": prompt, "images": images}, headers=HTMX)


def test_images_are_shown_with_their_scores_the_best_first(served, project, researcher, model, tmp_path):  # noqa: F811
    files = [picture(shade, size=(16, 16)) for shade in (3, 200, 60_000)]
    for number, file in enumerate(files):
        (tmp_path / f"{number}.png").write_bytes(file)
    ranks, scores = model.inference_rank("red circle", [tmp_path / f"{number}.png" for number in range(3)])
    answer = send(researcher, project, *files)
    assert answer.status_code == 200
    assert [row["index"] for row in answer.context["rows"]] == [ranks.index(rank) for rank in (1, 2, 3)]
    assert f"{max(scores):.3f}".replace("-", "\N{MINUS SIGN}") in answer.text
    assert "only its beginning" not in answer.text
    assert "only its beginning" in send(researcher, project, files[0], prompt="red " * 60).text


def test_a_file_that_is_no_image_is_named(served, project, researcher):  # noqa: F811
    answer = send(researcher, project, picture(3), b"text")
    assert (answer.status_code, "1.png is no PNG, JPEG or WebP" in answer.text) == (422, True)
    assert send(researcher, project).status_code == 422


def test_more_bytes_or_images_than_may_be_are_refused(served, project, researcher, settings):  # noqa: F811
    file = picture(3)
    settings.SCORES_MAX_IMAGES, settings.SCORES_MAX_BYTES = 3, 2 * len(file)
    assert send(researcher, project, file, file).status_code == 200
    too_large = send(researcher, project, file, file, file)
    assert (too_large.status_code, "bytes at a time" in too_large.text) == (422, True)
    settings.SCORES_MAX_BYTES = 100 * len(file)
    too_many = send(researcher, project, *[file] * 4)
    assert (too_many.status_code, "At most 3 at a time" in too_many.text) == (422, True)


def test_without_a_model_or_a_scorer_the_page_says_so(project, encoder, researcher, settings, tmp_path):
    settings.SCORERS = [str(tmp_path / "nobody.sock")]
    assert "No reward model is promoted" in researcher.get(f"/projects/{project.slug}/try/").text
    assert send(researcher, project, picture(3)).status_code == 409
    promote(encoder, now=NOW)
    answer = send(researcher, project, picture(3))
    assert (answer.status_code, "then try again" in answer.text) == (409, True)


def test_only_an_admin_is_led_to_where_a_model_is_promoted(client, project, rosa, ada):
    link = f'<a href="/models/{project.slug}/">Train or promote one</a>'
    for person, led in ((rosa, False), (ada, True)):
        client.force_login(person)
        assert (link in client.get(f"/projects/{project.slug}/try/").text) == led


def test_only_researchers_and_admins_find_it(client, project, alice, rita, ada):
    for person, status in ((alice, 404), (rita, 404), (ada, 200)):
        client.force_login(person)
        assert client.get(f"/projects/{project.slug}/try/").status_code == status
