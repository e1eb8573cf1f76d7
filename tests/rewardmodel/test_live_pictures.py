"""A reward model's pictures in a browser: axe finds nothing serious, and flagged ones are shown by keys."""

import pytest
from django.test import Client
from django.urls import reverse
from playwright.sync_api import expect

from annotation.models import Generation
from annotation.services.assignments.priorities import record_scores
from rewardmodel.services.checkpoints import promote
from tests.accessibility import complaints
from tests.cast import NOW

pytestmark = pytest.mark.django_db(transaction=True)


def test_the_pages_of_a_models_pictures_are_usable_by_everybody(
    page, live_server, project, ada, rank, encoder
):
    rank(4)
    images = list(Generation.objects.order_by("pk"))
    record_scores(scores={image.pk: -float(at) for at, image in enumerate(images)}, scored_by=encoder.name)
    Generation.objects.filter(pk=images[0].pk).update(is_flagged=True)
    promote(encoder, now=NOW)
    client = Client()
    client.force_login(ada)
    cookie = {"name": "sessionid", "value": client.cookies["sessionid"].value, "url": live_server.url}
    page.context.add_cookies([cookie])
    page.goto(live_server.url + reverse("project-models", args=[project.slug]))
    found = complaints(page, "models with pictures")
    page.goto(live_server.url + reverse("checkpoint", args=[project.slug, encoder.pk]))
    found += complaints(page, "a model's pictures")
    assert found == []
    veiled = page.locator(".thumb.veiled")
    expect(veiled).to_have_count(2)  # among the highest, and in the pair that people decide otherwise
    veiled.first.locator("button").focus()
    page.keyboard.press("Enter")
    expect(veiled).to_have_count(0)  # both: it is the same image
    page.keyboard.press("Enter")  # the focus went on to its link
    page.wait_for_url(f"**/prompts/{images[0].prompt_id}/")
