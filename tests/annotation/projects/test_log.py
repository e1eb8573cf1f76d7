"""Whatever staff change through a page or the API is written down, with who did it."""

from types import SimpleNamespace

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import URLPattern, get_resolver
from django.utils.timezone import now

from annotation.models import Action, Assignment, Delivery, Export, Upload
from annotation.services.actions import record_action
from annotation.services.assignments.assignments import claim_next
from annotation.services.checks.pauses import pause
from annotation.services.checks.references import claim_reference
from annotation.services.exports import request_export
from annotation.services.imports import (
    import_generations,
    import_prompts,
    import_rankings,
    request_import,
    run_import,
)
from annotation.services.judgements.judgements import submit_judgement
from annotation.services.people.invitations import invite
from annotation.services.people.tokens import issue_token
from annotation.services.webhooks.webhooks import create_webhook, ping
from tests.annotation.imports.rows import manifest_row, ranking_row
from tests.annotation.projects.test_pages import NEW, as_
from tests.annotation.test_api import signed_in
from tests.cast import NOW, answer_for, luck, picture

Kind = Action.Kind
HOOK = {"url": "https://example.org/hook", "kinds": ["review.made"]}


@pytest.fixture
def stage(project, ada, alice, bob, rita, a_prompt, a_gold):
    """Something of everything that can be changed; the ids by name."""
    a_prompt()
    task = claim_next(annotator=alice, project=project, now=NOW, generator=luck())
    judgement = answer_for(task)
    submit_judgement(assignment=task, annotator=alice, judgement=judgement, now=NOW, generator=luck())
    unopened, reference = a_prompt(opened=False), a_gold(project)
    trusted = claim_reference(
        researcher=ada, project=project, now=NOW, generator=luck(), prompt=a_prompt(opened=False)
    )
    judgement = answer_for(trusted)
    submit_judgement(assignment=trusted, annotator=ada, judgement=judgement, now=NOW, generator=luck())
    hook = create_webhook(project=project, by=ada, **HOOK)
    ping(hook, by=ada)
    invitation, _ = invite(
        project=project, role="annotator", uses=1, expires_at=now().replace(year=2100), by=ada, now=now()
    )
    running, failed = (
        request_export(project=project, format=format, by=ada, now=NOW) for format in ("csv", "pairs")
    )
    Export.objects.filter(pk=failed.pk).update(state=Export.State.FAILED, finished_at=NOW)
    queued, stuck = (
        request_import(project=project, file=SimpleUploadedFile("p.txt", b"a hare"), by=ada, now=NOW)
        for _ in range(2)
    )
    Upload.objects.filter(pk=stuck.pk).update(state=Upload.State.FAILED, finished_at=NOW)
    return SimpleNamespace(
        slug=project.slug,
        upload=queued.pk,
        failed_upload=stuck.pk,
        answer=task.pk,
        unopened=unopened.key,
        reference=reference.pk,
        trusted=trusted.pk,
        hook=hook.pk,
        delivery=Delivery.objects.get().pk,
        invitation=invitation.pk,
        export=running.pk,
        failed=failed.pk,
        token=issue_token(user=ada, name="mine", days=None, now=NOW)[0].pk,
        alice=alice.pk,
        bob=bob.pk,
        pause=pause(annotator=bob, project=project, reason="hasty", by=rita, now=NOW).pk,
    )


SETTINGS = NEW | {"slots": "5", "per_slot": "2", "asks_label": "on", "opinions_per_prompt": "1"}
# The name of a page, who posts what, and what is then in the log.
P = "/projects/{0.slug}/"
PAGES = [
    ("add-token", "ada", "/account/tokens/", {"name": "a", "days": "30"}, Kind.TOKEN_MADE),
    ("revoke-token", "ada", "/account/tokens/{0.token}/revoke/", {}, Kind.TOKEN_REVOKED),
    (
        "new-project",
        "root",
        "/projects/new/",
        NEW,
        Kind.PROJECT_CREATED,
    ),
    ("project-settings", "ada", P + "settings/", SETTINGS, Kind.SETTINGS_CHANGED),
    ("project-guideline", "ada", P + "guideline/", {"text": "Be fairer"}, Kind.GUIDELINE_PUBLISHED),
    ("cancel-upload", "ada", P + "uploads/{0.upload}/cancel/", {}, Kind.IMPORT_CANCELLED),
    ("retry-upload", "ada", P + "uploads/{0.failed_upload}/retry/", {}, Kind.IMPORT_RETRIED),
    ("add-person", "ada", P + "people/add/", {"username": "eve", "role": "annotator"}, Kind.MEMBER_ADDED),
    (
        "add-person",
        "ada",
        P + "people/add/",
        {"username": "zoe", "role": "annotator", "new_account": "on"},
        Kind.ACCOUNT_MADE,
    ),
    ("make-reset-link", "ada", P + "people/{0.alice}/reset/", {}, Kind.RESET_LINK_MADE),
    ("remove-person", "ada", P + "people/{0.alice}/remove/", {}, Kind.MEMBER_REMOVED),
    ("invite", "ada", P + "people/invite/", {"role": "annotator", "uses": "2", "days": "7"}, Kind.INVITED),
    (
        "revoke-invitation",
        "ada",
        P + "people/invitations/{0.invitation}/revoke/",
        {},
        Kind.INVITATION_REVOKED,
    ),
    ("accept", "rita", "/inspect/{0.answer}/accept/", {}, Kind.ACCEPTED),
    ("send-back", "rita", "/inspect/{0.answer}/send-back/", {"reason": "hasty"}, Kind.SENT_BACK),
    ("pause", "rita", "/inspect/{0.slug}/people/{0.alice}/pause/", {"reason": "hasty"}, Kind.PAUSED),
    ("lift-pause", "rita", "/inspect/{0.slug}/people/{0.bob}/lift/", {}, Kind.LIFTED),
    (
        "decide-qualification",
        "rita",
        "/inspect/{0.slug}/people/{0.alice}/decide/",
        {"outcome": "qualified", "reason": "I know her"},
        Kind.QUALIFIED,
    ),
    (
        "choose-reference",
        "ada",
        P + "references/{0.trusted}/",
        {"purpose": "training", "note": ""},
        Kind.REFERENCE_CHOSEN,
    ),
    ("retire-reference", "ada", P + "references/{0.reference}/retire/", {}, Kind.REFERENCE_RETIRED),
    ("add-webhook", "ada", P + "webhooks/add/", HOOK, Kind.WEBHOOK_MADE),
    ("ping-webhook", "ada", P + "webhooks/{0.hook}/ping/", {}, Kind.WEBHOOK_TRIED),
    ("switch-webhook", "ada", P + "webhooks/{0.hook}/switch/", {}, Kind.WEBHOOK_SWITCHED),
    ("renew-webhook-secret", "ada", P + "webhooks/{0.hook}/secret/", {}, Kind.WEBHOOK_RENEWED),
    ("remove-webhook", "ada", P + "webhooks/{0.hook}/remove/", {}, Kind.WEBHOOK_DELETED),
    ("send-again", "ada", P + "webhooks/{0.hook}/deliveries/{0.delivery}/", {}, Kind.WEBHOOK_TRIED),
    ("project-exports", "ada", P + "exports/", {"format": "csv"}, Kind.EXPORTED),
    ("cancel-export", "ada", P + "exports/{0.export}/cancel/", {}, Kind.EXPORT_CANCELLED),
    ("retry-export", "ada", P + "exports/{0.failed}/retry/", {}, Kind.EXPORT_RETRIED),
    ("delete-export", "ada", P + "exports/{0.failed}/delete/", {}, Kind.EXPORT_DELETED),
]
A = "/api/v1/projects/{0.slug}/"
ENDPOINTS = [
    ("api-projects", "ada", "/api/v1/projects/", {"slug": "owls", "name": "Owls"}, Kind.PROJECT_CREATED),
    ("api-members", "ada", A + "members/", {"username": "bob", "role": "inspector"}, Kind.MEMBER_ADDED),
    ("api-invitations", "ada", A + "invitations/", {"role": "annotator"}, Kind.INVITED),
    ("api-retry-upload", "ada", A + "uploads/{0.failed_upload}/retry/", {}, Kind.IMPORT_RETRIED),
    ("api-prompts", "ada", A + "prompts/", {"prompts": [{"id": "n", "prompt": "new"}]}, Kind.PROMPTS_ADDED),
    ("api-assignments", "ada", A + "assignments/", {}, Kind.WORK_OPENED),
    (
        "api-reviews",
        "rita",
        A + "assignments/{0.answer}/reviews/",
        {"verdict": "rejected", "reason": "hasty"},
        Kind.SENT_BACK,
    ),
    ("api-exports", "ada", A + "exports/", {"format": "csv"}, Kind.EXPORTED),
    ("api-pauses", "rita", A + "pauses/", {"annotator": "alice", "reason": "hasty"}, Kind.PAUSED),
    (
        "api-qualifications",
        "rita",
        A + "qualifications/",
        {"annotator": "alice", "outcome": "refused", "reason": "hasty"},
        Kind.QUALIFIED,
    ),
    (
        "api-references",
        "ada",
        A + "references/",
        {"assignment": "{0.trusted}", "purpose": "training"},
        Kind.REFERENCE_CHOSEN,
    ),
]
# Asked for and stopped in tests of their own apps.
RUNS = {
    *("select-now", "cancel-selection-run", "retry-selection-run", "discard-selection", "api-selections"),
    *("train-now", "cancel-training-run", "retry-training-run", "promote-checkpoint", "api-training-runs"),
    *("tune-now", "generate-images", "cancel-tuning-run", "retry-tuning-run", "api-tunings"),
    *("cancel-sampling-run", "retry-sampling-run", "api-samplings"),
    *("evaluate-now", "cancel-evaluation-run", "retry-evaluation-run"),
    *("measure-learning-curve", "api-learning-curve", "measure-waiting-checkpoint"),
    *("change-promotion-rule", "api-promotion"),
    *("start-step", "cancel-step", "repeat-step", "api-start-step", "api-cancel-step", "api-repeat-step"),
    *("api-studies", "close-study", "repeat-study", "publish-study", "withdraw-study-link"),
    *("api-close-study", "api-repeat-study"),
}
# Sent with a body, and change nothing: a score is looked at and not kept.
LOOKS = {"api-scores", "try-model", "schema"}
# Logged in the tests below, which send something else than a form.
OTHERS = {
    *(
        "change-password",
        "add-material",
        "add-rankings",
        "api-uploads",
        "api-upload",
        "api-member",
        "api-invitation",
        "api-project",
        "api-images",
    ),
    *("api-export", "api-pause", "api-reference", "join"),
}
# Logged as tests of resets show: a password by a link, a mail address.
RESETS = {"reset-password", "forgotten", "change-address", "confirm-address"}
# What people do as annotators is told by their answers, and a session by its end.
OWN_WORK = {
    *(
        "sign-in",
        "sign-out",
        "sign-out-everywhere",
        "end-session",
        "work",
        "submit",
        "feedback",
        "draft",
        "skip",
    ),
    *("own-answer", "api-skip", "api-next-reference"),
    *("acknowledge-guideline", "answer-reference", "api-guideline", "api-next-task", "api-answers"),
}


def door(row):
    return f"{row[0]}: {row[4]}"


def newest(person, kind):
    action = Action.objects.first()
    return action.kind == kind and action.actor == person


@pytest.mark.parametrize("row", PAGES, ids=door)
def test_what_staff_change_on_a_page_is_logged(row, stage, ada, rita, eve, django_user_model):
    _, who, address, sent, kind = row
    root = django_user_model.objects.create_superuser("root")
    person = {"ada": ada, "rita": rita, "root": root}[who]
    before = Action.objects.count()
    answer = as_(person).post(address.format(stage), sent)
    assert answer.status_code in (200, 302)
    added = Action.objects.all()[: Action.objects.count() - before]
    assert (kind, person) in {(action.kind, action.actor) for action in added}


@pytest.mark.parametrize("row", ENDPOINTS, ids=door)
def test_what_staff_change_over_the_api_is_logged(row, stage, ada, rita):
    _, who, address, sent, kind = row
    person = {"ada": ada, "rita": rita}[who]
    sent = {name: value.format(stage) if isinstance(value, str) else value for name, value in sent.items()}
    answer = signed_in(person).post(address.format(stage), sent, format="json")
    assert answer.status_code in (201, 202)
    assert newest(person, kind)


def test_images_and_removals_over_the_api_are_logged(stage, ada):
    client = signed_in(ada)
    file = SimpleUploadedFile("x.png", picture(77))
    sent = {"prompt_id": stage.unopened, "file": file, "name": "x.png"}
    assert client.post((A + "images/").format(stage), sent, format="multipart").status_code == 201
    assert newest(ada, Kind.IMAGES_ADDED)
    file = SimpleUploadedFile("q.txt", b"a hen")
    sent = client.post((A + "uploads/").format(stage), {"material": file}, format="multipart")
    assert sent.status_code == 202
    assert client.delete((A + "uploads/{0.upload}/").format(stage)).status_code == 202
    assert newest(ada, Kind.IMPORT_CANCELLED)
    run_import(Upload.objects.get(pk=sent.json()["id"]), clock=now)
    assert newest(ada, Kind.PROMPTS_ADDED)
    assert client.delete((A + "members/{0.alice}/").format(stage)).status_code == 204
    assert newest(ada, Kind.MEMBER_REMOVED)
    assert client.delete((A + "invitations/{0.invitation}/").format(stage)).status_code == 204
    assert newest(ada, Kind.INVITATION_REVOKED)
    assert client.patch((A).format(stage), {"review_share": 0.1}, format="json").status_code == 200
    assert newest(ada, Kind.SETTINGS_CHANGED)
    assert client.put((A + "guideline/").format(stage), {"text": "Be kind"}, format="json").status_code == 200
    assert newest(ada, Kind.GUIDELINE_PUBLISHED)
    assert client.delete((A + "exports/{0.failed}/").format(stage)).status_code == 204
    assert newest(ada, Kind.EXPORT_DELETED)
    assert client.delete((A + "references/{0.reference}/").format(stage)).status_code == 204
    assert newest(ada, Kind.REFERENCE_RETIRED)
    assert client.delete((A + "pauses/{0.pause}/").format(stage)).status_code == 200
    assert newest(ada, Kind.LIFTED)


def test_a_password_that_was_changed_is_logged_and_the_password_is_not(ada):
    ada.set_password("a long secret")
    ada.save()
    new = {"new_password1": "another long one", "new_password2": "another long one"}
    as_(ada).post("/account/password/", {"old_password": "a long secret", **new})
    assert newest(ada, Kind.PASSWORD_CHANGED)
    assert "another" not in str(Action.objects.values().first())


def test_a_file_sent_on_a_page_is_logged(stage, project, ada):
    file = SimpleUploadedFile("p.txt", b"a hare")
    as_(ada).post(f"/projects/{project.slug}/prompts/add/", {"material": file})
    run_import(Upload.objects.latest("pk"), clock=now)
    assert newest(ada, Kind.PROMPTS_ADDED)


def test_imports_by_a_command_are_logged_without_a_person(project, written, foxes):
    import_prompts(project=project, file=written("p.txt", "a hare"))
    import_generations(project=project, manifest=written("m.jsonl", [manifest_row()]))
    rows = [ranking_row(key="9", prompt="an owl")]
    import_rankings(project=project, file=written("r.json", rows), now=NOW, without_images=True)
    import_prompts(project=project, file=written("p.txt", "a hare"))  # nothing new, nothing logged
    logged = project.actions.order_by("pk").values_list("kind", "actor", "subject")
    assert list(logged)[-3:] == [
        (Kind.PROMPTS_ADDED, None, "1 prompts"),
        (Kind.IMAGES_ADDED, None, "2 images"),
        (Kind.RANKINGS_ADDED, None, "1 rankings"),
    ]
    assert project.actions.first().details == {"prompts": 1, "images": 3, "file": "r.json"}


def test_a_refused_change_is_not_logged(stage, project, ada, alice):
    before = Action.objects.count()
    assert as_(alice).post(f"/projects/{project.slug}/exports/", {"format": "csv"}).status_code == 404
    assert as_(ada).post(f"/projects/{project.slug}/exports/", {"format": "no"}).status_code == 422
    as_(ada).post(f"/projects/{project.slug}/exports/{stage.failed}/cancel/")
    assert Action.objects.count() == before
    assert Assignment.objects.filter(project=project).exists()


def test_every_door_is_a_look_or_logged_or_ones_own_work():
    """A new page or endpoint that takes more than GET has to be in a table above."""
    known = {row[0] for row in [*PAGES, *ENDPOINTS]} | RUNS | LOOKS | OTHERS | RESETS | OWN_WORK
    doors = {pattern.name: pattern.callback for pattern in patterns(get_resolver().url_patterns)}
    assert known <= doors.keys()
    assert {name for name, view in doors.items() if changes(view)} - known == set()


def test_names_and_times_in_the_log_are_written_as_on_other_pages_and_other_texts_as_they_are(project, ada):
    expires_at = NOW.replace(year=2100, month=2, day=3, hour=4, minute=5)
    invite(project=project, role="annotator", uses=1, expires_at=expires_at, by=ada, now=NOW)
    record_action(Kind.PAUSED, project=project, by=ada, reason="2100-02-03")
    page = as_(ada).get(f"/projects/{project.slug}/log/").text
    assert "expires at</span> 3 Feb 2100, 04:05" in page
    assert "reason</span> 2100-02-03" in page


def patterns(entries):
    """Those of Laurel itself."""
    for entry in entries:
        if isinstance(entry, URLPattern):
            if entry.name and not entry.lookup_str.startswith(("django.", "drf_spectacular.")):
                yield entry
        elif not entry.namespace:
            yield from patterns(entry.url_patterns)


def changes(view):
    """Whether the view takes more than GET, told by its class or by django.views.decorators.http."""
    if hasattr(view, "cls"):
        return bool({"post", "put", "patch", "delete"} & set(view.cls.http_method_names))
    while view is not None:
        for cell in view.__closure__ or ():
            allowed = cell.cell_contents
            if isinstance(allowed, list) and set(allowed) <= METHODS:
                return "POST" in allowed
        view = getattr(view, "__wrapped__", None)
    return False


METHODS = {"GET", "HEAD", "POST", "OPTIONS"}
