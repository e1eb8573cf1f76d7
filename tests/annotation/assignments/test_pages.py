"""The workspace: what a task's page shows and hides, and what becomes of what is posted to it."""

import re
from uuid import uuid4

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from annotation.models import Assignment, Placement, Prompt, PromptLabel, Ranking, Rating
from annotation.services.projects.projects import publish_guideline
from annotation.templatetags import questions
from tests.annotation.posts import address, begin, filled_in, left_as_draft
from tests.cast import NOW

HTMX = {"HX-Request": "true"}


@pytest.fixture
def task(client, alice, project, a_prompt):
    """A task of alice's with three images; `client` is her browser."""
    a_prompt(images=3)
    return begin(client, alice, project)


def test_the_guideline_comes_before_the_first_task(client, alice, project, a_prompt):
    a_prompt()
    client.force_login(alice)
    page = client.get(f"/work/{project.slug}/")
    assert "Be fair" in page.text
    assert 'id="judgement"' not in page.text
    assert not Assignment.objects.filter(annotator=alice).exists()

    page = client.post(f"/work/{project.slug}/guideline/1/", follow=True)
    assert 'id="judgement"' in page.text


def test_a_new_version_of_the_guideline_is_read_before_the_next_task(client, task):
    publish_guideline(project=task.project, text="Be fairer")
    page = client.post(address(task), filled_in(task), headers=HTMX, follow=True)
    assert Ranking.objects.exists()
    assert "Be fairer" in page.text
    assert 'id="acknowledge"' in page.text


def test_a_task_shows_the_prompt_and_every_image_in_the_order_stored(client, task):
    page = client.get(f"/work/{task.project.slug}/").text
    assert task.prompt.text in page
    tokens = {generation.pk: str(generation.image.token) for generation in task.prompt.generations.all()}
    rated = re.findall(r'src="/images/([^"]+)".*? data-image="(\d)" data-view', page)
    assert rated == [(tokens[pk], str(number)) for number, pk in enumerate(task.order, start=1)]


def test_tasks_of_the_same_questions_show_their_own_images(client, task, a_prompt):
    other = a_prompt(images=3)
    pages = [client.get(f"/work/{task.project.slug}/{part}", headers=HTMX).text for part in ("", "ahead/")]
    for prompt, page in zip((task.prompt, other), pages, strict=True):
        shown = set(re.findall(r"/images/([\w-]+)", page))
        assert shown == {str(generation.image.token) for generation in prompt.generations.all()}


def test_a_task_shows_its_images_where_two_threads_are_the_first_to_render_one(client, task, monkeypatch):
    # Both find the cache empty, as either does here at each call.
    monkeypatch.setattr(questions, "_stand_in", questions._stand_in.__wrapped__)
    shown = set(re.findall(r"/images/([\w-]+)", client.get(f"/work/{task.project.slug}/").text))
    assert shown == {str(generation.image.token) for generation in task.prompt.generations.all()}


def test_a_translation_stands_beside_the_prompt_where_there_is_one(client, task):
    assert "Translation" not in client.get(f"/work/{task.project.slug}/").text
    Prompt.objects.update(translation="ein <Fuchs>")
    assert "ein &lt;Fuchs&gt;</p>" in client.get(f"/work/{task.project.slug}/").text


def test_nothing_on_the_page_tells_where_an_image_comes_from(client, task):
    task.prompt.generations.update(generator="secretive-v9", score=1.2345, seed=987654321)
    page = client.get(f"/work/{task.project.slug}/").text
    for generation in task.prompt.generations.all():
        for told in ("secretive-v9", generation.source, "1.2345", "1.23", "987654321"):
            assert told not in page


def test_a_complete_answer_is_stored_as_it_was_posted(client, task):
    first, second, third = task.order
    answer = filled_in(
        task,
        slots=[1, 3, 3],
        overall=[7, 4, 2],
        intent_unclear="on",
        issues=["violent", "personal"],
        **{"rating-3-problems": ["body", "blurry"]},
    )
    assert client.post(address(task), answer).status_code == 302
    label = PromptLabel.objects.get()
    assert (label.category, label.intent_unclear, label.issues) == (
        "animals",
        True,
        ["violent", "personal"],
    )
    assert dict(Placement.objects.values_list("generation_id", "slot")) == {first: 1, second: 3, third: 3}
    assert Rating.objects.get(generation=third).problems == ["body", "blurry"]
    assert Rating.objects.get(generation=second).problems == []


def test_the_answer_to_a_submit_is_the_next_task(client, task, a_prompt):
    following = a_prompt(images=2)
    page = client.post(address(task), filled_in(task), headers=HTMX, follow=True)
    assert page.text.lstrip().startswith('<section id="workspace"')
    assert following.text in page.text
    assert "Answer stored." in page.text


def test_after_the_last_task_the_page_says_so(client, task):
    page = client.post(address(task), filled_in(task), follow=True)
    assert "Nothing left to do here" in page.text


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        ("category", "Choose what the prompt is about."),
        ("issues", "Say which problems the text has"),
        ("rating-2-overall", "Image 2 is not rated: Overall."),
        ("rating-2-problems", "Image 2, problems"),
        ("slot-2", "Image 2 is in no slot."),
    ],
)
def test_an_answer_with_a_gap_is_refused_and_says_where(client, task, missing, said):
    page = client.post(address(task), filled_in(task, **{missing: None}))
    assert page.status_code == 422
    assert said in page.text
    assert not Ranking.objects.exists()


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("category", "robots", "robots is not one of the available choices"),
        ("issues", ["none", "violent"], "Either some of these or none of them."),
        ("issues", ["rudeness"], "rudeness is not one of the available choices"),
        ("rating-1-overall", "8", "Image 1 is not rated: Overall."),
        ("rating-1-fidelity", "0", "Image 1 is not rated: Quality of the picture."),
        ("rating-1-problems", ["none", "body"], "Image 1, problems: Either some of these or none"),
        ("slot-1", "6", "Image 1 may only be from 1 to 5."),
        ("slot-1", "best", "Image 1 may only be from 1 to 5."),
    ],
)
def test_what_the_browser_prevents_the_server_refuses_too(client, task, field, value, said):
    page = client.post(address(task), filled_in(task, **{field: value}))
    assert page.status_code == 422
    assert said in page.text.replace("&#x27;", "'")
    assert not Ranking.objects.exists()


def test_three_images_in_one_slot_are_refused(client, task):
    page = client.post(address(task), filled_in(task, slots=[1, 1, 1]))
    assert page.status_code == 422
    assert "Image 1. Image 2. Image 3." in page.text


def test_a_contradiction_is_refused_and_names_both_images(client, task):
    page = client.post(address(task), filled_in(task, slots=[1, 2, 3], overall=[3, 6, 2]))
    assert page.status_code == 422
    assert "Image 2 is rated above image 1 (Overall), but placed below it." in page.text
    assert not Ranking.objects.exists()


def test_a_project_that_warns_takes_a_contradiction_that_is_meant(client, task):
    type(task.project).objects.update(consistency="warn")
    answer = filled_in(task, slots=[1, 2, 3], overall=[3, 6, 2])
    refused = client.post(address(task), answer)
    assert refused.status_code == 422
    assert 'name="confirmed"' in refused.text
    assert client.post(address(task), answer | {"confirmed": "on"}).status_code == 302


def test_a_refused_answer_comes_back_whole(client, task):
    answer = filled_in(task, slots=[2, 4, 5], overall=[6, 5, 1], category="plants", issues=["violent"])
    answer["rating-1-alignment"] = ""
    page = client.post(address(task), answer).text
    assert 'value="plants" checked' in page
    assert 'value="violent" checked' in page
    for number, slot, star in zip((1, 2, 3), (2, 4, 5), (6, 5, 1), strict=True):
        assert f'name="rating-{number}-overall" value="{star}" checked' in page
        assert re.search(rf'name="slot-{number}">.*?value="{slot}" selected', page, re.DOTALL)
    assert 'data-current="rate"' in page


def test_the_same_answer_twice_is_stored_once(client, task, a_prompt):
    a_prompt(images=2)
    assert client.post(address(task), filled_in(task)).status_code == 302
    assert client.post(address(task), filled_in(task)).status_code == 302
    assert Ranking.objects.count() == 1


def test_a_different_answer_to_a_closed_task_is_told_so(client, task):
    client.post(address(task), filled_in(task))
    page = client.post(address(task), filled_in(task, slots=[5, 5, 4], overall=[4, 4, 4]))
    assert page.status_code == 409
    assert "closed already" in page.text
    assert "Next task" in page.text
    assert set(Placement.objects.values_list("slot", flat=True)) == {1, 2}


def test_a_task_that_went_to_somebody_else_is_told_so_with_a_way_on(client, task, bob):
    Assignment.objects.update(leased_until=NOW)
    begin(Client(), bob, task.project)
    for place in (address(task), address(task) + "draft/"):
        page = client.post(place, filled_in(task), headers=HTMX)
        assert page.status_code == 404
        assert "not yours any more" in page.text
        assert f'href="/work/{task.project.slug}/"' in page.text
    assert not Ranking.objects.exists()
    assert not Assignment.objects.filter(draft__isnull=False).exists()


def test_who_signed_in_since_in_the_same_browser_is_told_whose_task_it_is(client, task, bob):
    """The page in another tab still posts what the one before had opened."""
    page = client.get(f"/work/{task.project.slug}/").text
    assert 'name="by" value="alice"' in page
    client.force_login(bob)
    for place in (address(task), address(task) + "draft/", address(task) + "skip/"):
        page = client.post(place, filled_in(task, by="alice"), headers=HTMX)
        assert page.status_code == 404
        assert "You are signed in as bob now" in page.text
        assert "alice opened this task" in page.text
        assert "not yours any more" not in page.text
    assert Assignment.objects.get().annotator == task.annotator
    assert not Ranking.objects.exists()


def test_an_answer_whose_numbers_mean_the_images_of_an_earlier_claim_is_not_taken(client, task, bob):
    stale = filled_in(task)
    Assignment.objects.update(leased_until=NOW)
    begin(Client(), bob, task.project)
    Assignment.objects.update(leased_until=NOW)
    client.get(f"/work/{task.project.slug}/")
    again = Assignment.objects.get()
    assert again.annotator == task.annotator
    for place in (address(task), address(task) + "draft/"):
        page = client.post(place, stale, headers=HTMX)
        assert page.status_code == 404
        assert "not yours any more" in page.text
    assert Assignment.objects.get().draft is None
    assert client.post(address(again), filled_in(again)).status_code == 302


def test_a_draft_is_restored_with_its_stage_and_its_image(client, task):
    told = {"category": "food", "rating-2-overall": "3", "slot-2": "4", "step": "rate", "at": "2"}
    assert client.post(address(task) + "draft/", left_as_draft(task, **told)).status_code == 204
    page = client.get(f"/work/{task.project.slug}/").text
    assert 'data-current="rate"' in page
    assert 'name="at" value="2"' in page
    assert 'value="food" checked' in page
    assert 'name="rating-2-overall" value="3" checked' in page


def test_a_draft_keeps_only_fields_of_its_form(client, task):
    more = {"slot-4": "1", "csrfmiddlewaretoken": "x"}
    client.post(address(task) + "draft/", left_as_draft(task, category="food", **more))
    assert Assignment.objects.get().draft == {"category": ["food"]}


def test_a_draft_that_makes_no_sense_does_no_harm(client, task):
    nonsense = {"step": "end", "at": "9" * 5000, "slot-1": "99", "issues": "?", "category": "\0"}
    assert client.post(address(task) + "draft/", left_as_draft(task, **nonsense)).status_code == 204
    assert client.post(address(task), filled_in(task, at="9" * 5000)).status_code == 422
    page = client.get(f"/work/{task.project.slug}/")
    assert page.status_code == 200
    assert 'data-current="prompt"' in page.text
    assert page.text.count('class="tile"') == 3


def test_stages_switched_off_are_not_asked(client, alice, a_prompt, project):
    type(project).objects.update(asks_label=False, asks_ratings=False)
    a_prompt(images=2)
    task = begin(client, alice, project)
    page = client.get(f"/work/{project.slug}/").text
    assert 'data-step="prompt"' not in page
    assert "rating-" not in page
    assert 'data-current="rank"' in page
    answer = {"claim": task.claim, "slot-1": "1", "slot-2": "2"}
    assert client.post(address(task), answer).status_code == 302
    assert Ranking.objects.count() == 1


def test_people_without_the_role_find_no_workspace(client, project, rita, eve):
    assert client.get(f"/work/{project.slug}/").status_code == 302
    for stranger in (rita, eve):
        client.force_login(stranger)
        assert client.get(f"/work/{project.slug}/").status_code == 404


def test_anothers_task_can_neither_be_answered_nor_drafted(task, bob):
    other = Client()
    other.force_login(bob)
    assert other.post(address(task), filled_in(task)).status_code == 404
    assert other.post(address(task) + "draft/", left_as_draft(task, category="food")).status_code == 404
    assert other.post(address(task).replace(str(task.token), str(uuid4())), {}).status_code == 404
    assert not Ranking.objects.exists()


def test_a_script_that_is_signed_out_is_told_so_and_a_page_asks_to_sign_in(client, task):
    client.logout()
    assert client.post(address(task), filled_in(task), headers=HTMX).status_code == 401
    page = {"Referer": f"http://testserver/work/{task.project.slug}/"}
    sign_in = client.post(address(task), filled_in(task), headers=page).url
    assert sign_in == f"/sign-in/?next=/work/{task.project.slug}/"


def test_an_answer_without_its_token_is_refused(task, alice):
    careful = Client(enforce_csrf_checks=True)
    careful.force_login(alice)
    assert careful.post(address(task), filled_in(task)).status_code == 403
    assert not Ranking.objects.exists()


def test_the_workspace_only_takes_what_it_should(client, task):
    assert client.get(address(task)).status_code == 405
    assert client.post(f"/work/{task.project.slug}/").status_code == 405


def statements(act):
    """The SQL statements that `act` runs, session and user included, transactions' brackets not."""
    with CaptureQueriesContext(connection) as captured:
        act()
    return [query["sql"] for query in captured if query["sql"] not in ("BEGIN", "COMMIT")]


@pytest.mark.django_db(transaction=True)
def test_an_answer_and_the_task_behind_the_next_cost_seven_statements(client, task, a_prompt):
    """Of them one is for session and user, which every page asks for."""
    for _ in range(4):
        a_prompt(images=9)
    answer, page = address(task), f"/work/{task.project.slug}/"
    client.post(answer + "draft/", filled_in(task))
    submit = statements(lambda: client.post(answer, filled_in(task), headers=HTMX))
    assert len(submit) <= 6, submit
    ahead = statements(lambda: client.get(f"{page}ahead/", headers=HTMX))
    assert len(ahead) <= 4, ahead
    again = statements(lambda: client.get(page))
    assert len(again) <= 4, again
    held = Assignment.objects.get(state="leased", claimed_at__isnull=False)
    draft = address(held) + "draft/"
    saved = statements(lambda: client.post(draft, filled_in(held)))
    assert len(saved) <= 4, saved
    Assignment.objects.filter(pk=held.pk).update(draft=None, drafted_at=None)
    ready = Assignment.objects.get(state="leased", claimed_at=None).ready_version
    receipt = statements(lambda: client.post(address(held), filled_in(held, ready=ready), headers=HTMX))
    assert len(receipt) <= 7, receipt


def test_a_lease_is_renewed_by_a_draft(client, task):
    Assignment.objects.update(leased_until=timezone.now())
    client.post(address(task) + "draft/", left_as_draft(task, category="food"))
    task.refresh_from_db()
    assert task.leased_until > timezone.now()
