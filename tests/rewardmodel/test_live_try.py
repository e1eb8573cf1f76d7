"""The promoted model tried in a real browser."""

import io

import numpy as np
import PIL.Image
import pytest
from django.urls import reverse
from playwright.sync_api import expect

from rewardmodel.services.checkpoints import promote, register_checkpoint
from tests.accessibility import complaints
from tests.cast import NOW
from tests.rewardmodel.runs.test_live_pages import signed_in
from tests.rewardmodel.serving.test_served_scores import scorer  # noqa: F401  # a fixture

pytestmark = pytest.mark.django_db(transaction=True)


def drawn(seed):
    soft = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    file = io.BytesIO()
    PIL.Image.fromarray(soft).resize((256, 256), PIL.Image.Resampling.BICUBIC).save(file, "PNG")
    return {"name": f"drawing-{seed}.png", "mimeType": "image/png", "buffer": file.getvalue()}


def test_dropped_images_stay_chosen_and_are_shown_with_their_scores(
    live_server, page, rosa, project, scorer, settings  # noqa: F811
):  # fmt: skip
    settings.SCORERS = [scorer.address]
    folder = "demo/weights/encoder"
    promote(register_checkpoint(project=project, name="small world", folder=folder), now=NOW)
    page = signed_in(page, live_server, rosa)
    page.goto(live_server.url + reverse("project-agreement", args=[project.slug]))
    page.get_by_role("link", name="Try the model").click()
    found = complaints(page, "before")

    page.get_by_label("Prompt").fill("a red circle above a blue square, " + "on a white background " * 9)
    page.get_by_label("Images").set_input_files([drawn(seed) for seed in range(5)])
    page.get_by_role("button", name="Score").click()
    expect(page.get_by_role("heading", name="Scores by small world")).to_be_focused(timeout=60_000)
    expect(page.get_by_text("only its beginning counted")).to_be_visible()
    pictures = page.locator("#tried figure img")
    expect(pictures).to_have_count(5)
    for picture in pictures.all():
        expect(picture).not_to_have_js_property("naturalWidth", 0)
    shown = page.locator("#tried figure b").all_inner_texts()
    scores = [float(one.replace("\N{MINUS SIGN}", "-")) for one in shown]
    assert scores == sorted(scores, reverse=True)
    found += complaints(page, "scored")

    page.get_by_label("Prompt").fill("a blue square")
    page.get_by_role("button", name="Score").click()  # the files are chosen still
    expect(page.get_by_text("only its beginning counted")).to_have_count(0)
    expect(pictures).to_have_count(5)

    page.get_by_label("Images").set_input_files(
        [drawn(1), {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"no image"}]
    )
    page.get_by_role("button", name="Score").click()
    expect(page.get_by_text("notes.txt is no PNG, JPEG or WebP image")).to_be_visible()
    expect(page.get_by_label("Images")).to_be_focused()
    assert not found, "\n".join(found)
