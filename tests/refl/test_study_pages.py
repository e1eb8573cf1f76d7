"""The pages of a project's blind studies: who reads them, who opens and closes one, and what is there."""

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils.timezone import now

from annotation.models import Assignment, Generation, Membership
from annotation.services.projects.projects import add_member
from annotation.services.projects.prompts import add_prompts
from refl.models import Study
from refl.services.studies import close_study
from tests.refl.asked_studies import answer_study, asked_study, two_generators

HTMX = {"HX-Request": "true"}


@pytest.fixture
def generators(project, pipeline):
    return two_generators(project, pipeline)


@pytest.fixture
def study(project, generators, alice):
    """Six prompts, of which one is answered: the tuned generator's image won."""
    study = asked_study(project, generators, captions=6)
    answer_study(study, alice, generators[::-1], tasks=1)
    return study


@pytest.fixture
def admin(client, ada):
    client.force_login(ada)
    return client


def page_of(client, study, **query):
    response = client.get(reverse("study", args=[study.project.slug, study.pk]), query)
    assert response.status_code == 200
    return response


def text_of(response):
    return response.content.decode()


def test_a_study_says_how_it_stands_and_shows_its_pairs_with_the_votes(admin, study):
    page = page_of(admin, study)
    text = text_of(page)
    assert "tuned against small" in text
    assert "1 of 6" in text
    assert "5 to be taken up" in text
    assert text.count("<before-after>") == 6
    assert "&lt;red&gt; fox" in text
    assert 'hx-trigger="every 5s"' in text
    assert text.count("1 for tuned") == 1
    [row] = page.context["rates"]
    assert (row.rate.result.wins, row.rate.result.losses, row.rate.verdict) == (1, 0, "open")
    assert row.whisker.mark == 50
    assert row.whisker.low < 50 < row.whisker.value


def test_a_pair_scored_by_one_model_has_both_rewards_and_what_they_mean(admin, study):
    first, second = study.tasks.all()[:2]
    scored = {"scored_by": "judge", "score": 1.25, "score_percentile": 83.4, "score_preferred": 0.71}
    Generation.objects.filter(prompt__in=[first.prompt, second.prompt]).update(**scored)
    second.prompt.generations.filter(generator="tuned").update(scored_by="an older one")  # not comparable
    text = text_of(page_of(admin, study))
    assert text.count(">1.250<") == text.count("83rd percentile") == text.count("71 % preferred") == 2


@pytest.mark.parametrize(("won", "pairs"), [("", 6), ("after", 1), ("before", 0), ("open", 5), ("nobody", 6)])
def test_the_gallery_shows_the_pairs_that_somebody_won(admin, study, won, pairs):
    page = page_of(admin, study, won=won)
    gallery = page.context["gallery"]
    assert len(gallery.page) == pairs == text_of(page).count("<before-after>")
    assert {pair.outcome for pair in gallery.page} <= (
        {won} if won in ("after", "open") else {"after", "open"}
    )
    assert [(outcome.name, outcome.pairs) for outcome in gallery.outcomes] == [
        ("", 6),
        ("after", 1),
        ("before", 0),
        ("tie", 0),
        ("open", 5),
    ]


def test_each_choice_of_the_gallery_leads_from_any_other(admin, study):
    text = text_of(page_of(admin, study, won="after"))
    assert 'href="?#gallery"' in text
    assert 'href="?won=open#gallery"' in text


def test_votes_are_told_apart_as_wins_losses_and_ties(admin, study, bob, generators):
    answer_study(study, bob, generators, tasks=2)
    answer_study(study, bob, [], tasks=1)
    gallery = page_of(admin, study).context["gallery"]
    assert {outcome.name: outcome.pairs for outcome in gallery.outcomes} == {
        "": 6,
        "after": 1,
        "before": 2,
        "tie": 1,
        "open": 2,
    }


def test_of_three_generators_each_is_shown_beside_the_base(admin, project, pipeline, alice):
    generators = two_generators(project, pipeline, "third")
    study = asked_study(project, generators, captions=2, design="rankings")
    answer_study(study, alice, generators[::-1])
    gallery = page_of(admin, study, generator="2").context["gallery"]
    assert {pair.pair.after.name for pair in gallery.page} == {"third"}
    assert {pair.votes for pair in gallery.page} == {(1, 0, 0)}
    for nonsense in ("0", "3", "-1", "x", "1e9"):
        gallery = page_of(admin, study, generator=nonsense).context["gallery"]
        assert {pair.pair.after.name for pair in gallery.page} == {"tuned"}
    assert "Every two generators" in text_of(page_of(admin, study))


def test_a_pair_whose_image_is_gone_is_counted_and_left_out(admin, study):
    Generation.objects.filter(generator="tuned", prompt__assignments__state="open").first().delete()
    page = page_of(admin, study)
    assert len(page.context["gallery"].page) == 5
    assert "1 pair left out" in text_of(page)


def test_a_flagged_image_is_blurred(admin, study):
    Generation.objects.filter(pk=Generation.objects.filter(generator="tuned").first().pk).update(
        is_flagged=True
    )
    assert text_of(page_of(admin, study)).count('class="frame veiled"') == 1


def test_what_goes_on_is_asked_for_again_without_the_gallery_until_the_study_is_closed(admin, study):
    address = reverse("study", args=[study.project.slug, study.pk])
    part = text_of(admin.get(address, headers=HTMX))
    assert "<html" not in part
    assert "<before-after>" not in part
    assert 'hx-trigger="every 5s"' in part
    admin.post(reverse("close-study", args=[study.project.slug, study.pk]))
    page = text_of(admin.get(address))
    assert "hx-trigger" not in page
    assert "Closed by hand." in page
    study.refresh_from_db()
    assert study.state == Study.State.CLOSED
    assert not Assignment.objects.filter(kind="study", state="open").exists()


def test_a_study_that_is_drawing_says_how_far_its_images_are(admin, study):
    Study.objects.filter(pk=study.pk).update(state="drawing", opened_at=None)
    type(study.run).objects.filter(pk=study.run.pk).update(
        state="running", step=7, started_at=now(), heartbeat=now(), finished_at=None
    )
    text = text_of(page_of(admin, study))
    assert "Waits for its images" in text
    assert f"7 of {study.run.steps}" in text
    assert reverse("sampling-run", args=[study.project.slug, study.run.pk]) in text
    assert "<before-after>" not in text


def test_the_list_names_each_study_with_its_generators_and_opinions(admin, study):
    text = text_of(admin.get(reverse("project-studies", args=[study.project.slug])))
    assert "tuned against small" in text
    assert "1 of 6" in text
    assert "Open a study" in text


def test_a_list_of_many_studies_takes_no_more_statements(
    admin, study, generators, django_assert_max_num_queries
):
    address = reverse("project-studies", args=[study.project.slug])
    with django_assert_max_num_queries(12) as few:
        admin.get(address)
    for _ in range(3):
        asked_study(study.project, generators, captions=2)
    with django_assert_max_num_queries(len(few)):
        admin.get(address)


def test_a_study_page_takes_as_many_statements_for_many_prompts_as_for_few(
    admin, study, generators, alice, django_assert_max_num_queries
):
    with django_assert_max_num_queries(20) as few:
        page_of(admin, study)
    large = asked_study(study.project, generators, captions=20)
    answer_study(large, alice, generators)
    with django_assert_max_num_queries(len(few)):
        page_of(admin, large)


# Opening one


@pytest.fixture
def held_out(project):
    """Eighty prompts, about a tenth of which nothing may learn from."""
    return add_prompts(project=project, texts={f"p{n}": f"a plain text number {n}" for n in range(80)})


def fields(generators, **changed):
    base, *others = generators
    return {
        "base": base.pk,
        "others": [other.pk for other in others],
        "name": "",
        "design": "pairs",
        "captions": 2,
        "images_per_caption": 1,
        "opinions": 1,
        "confidence": "0.95",
        "stops": "on",
        "margin": 0.1,
    } | changed


def test_an_admin_opens_a_study_by_its_form(admin, project, generators, held_out):
    address = reverse("open-study", args=[project.slug])
    assert admin.get(address).status_code == 200
    response = admin.post(address, fields(generators, name="First look", captions=3, opinions=2, stops=""))
    study = Study.objects.get()
    assert response.url == reverse("study", args=[project.slug, study.pk])
    assert (study.name, study.compared, study.opened_by.username) == ("First look", generators, "ada")
    assert (study.settings.captions, study.settings.opinions, study.settings.stops) == (3, 2, False)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"captions": 500}, "held-out prompts, not 500"),
        ({"captions": 1}, "greater than or equal to 2"),
        ({"others": []}, "This field is required"),
        ({"others": "base"}, "is the base: it is compared with others"),
        ({"base": 999_999}, "Select a valid choice"),
        ({"confidence": "0.2"}, "Select a valid choice"),
        ({"margin": 3}, "less than or equal to 0.25"),
        ({"name": "x" * 101}, "at most 100 characters"),
    ],
)
def test_what_no_study_can_be_is_refused_and_nothing_is_opened(
    admin, project, generators, held_out, changed, said
):
    if changed.get("others") == "base":
        changed = {"others": [generators[0].pk]}
    response = admin.post(reverse("open-study", args=[project.slug]), fields(generators, **changed))
    assert response.status_code == 422
    assert said in text_of(response)
    assert not Study.objects.exists()


def test_a_project_that_nothing_can_be_asked_of_says_so(admin, project, generators):
    response = admin.post(reverse("open-study", args=[project.slug]), fields(generators))
    assert response.status_code == 422
    assert "share no prompt that none of them learned from" in text_of(response)


def test_a_study_is_asked_for_only_where_there_are_two_generators(admin, project, generators):
    address = reverse("open-study", args=[project.slug])
    assert 'id="study-form"' in text_of(admin.get(address))
    small, tuned = generators
    tuned.delete()
    one = text_of(admin.get(address))
    assert 'id="study-form"' not in one
    assert "one that is ready: small" in one
    register = f"manage.py register_generator {project.slug} NAME FOLDER"
    assert f'<a href="{reverse("project-generators", args=[project.slug])}">Tune it</a>' in one
    assert register in one
    small.delete()
    none = text_of(admin.get(address))
    assert "none that is ready" in none
    assert register in none


def test_what_a_study_takes_is_told_before_it_is_opened(admin, project, generators, held_out):
    text = text_of(admin.get(reverse("open-study", args=[project.slug])))
    for share, votes in (("55 %", "815"), ("60 %", "207"), ("65 %", "93"), ("70 %", "54")):
        assert share in text
        assert f'<td class="number">{votes}</td>' in text
    assert "hours cannot be said" in text


def test_hours_follow_the_projects_own_pace_and_what_is_asked(admin, study, generators, alice):
    """Alice took 90 seconds for two images; one more opinion on each prompt doubles the hours."""
    answers = Assignment.objects.filter(state="accepted")
    answer = answers.get()
    answers.update(claimed_at=answer.submitted_at - timedelta(seconds=90))
    address = reverse("plan-study", args=[study.project.slug])
    once = text_of(admin.get(address, fields(generators, captions=80)))
    assert "<strong>80</strong> opinions on 2 images each: about <strong>2.0 h</strong>" in once
    assert "80 days at the pace" in once  # one answer a day
    assert '<td class="number">5.2 h</td>' in once  # 207 votes at 60 %
    twice = text_of(admin.get(address, fields(generators, captions=80, opinions=2)))
    assert "<strong>160</strong> opinions on 2 images each: about <strong>4.0 h</strong>" in twice
    assert '<td class="number">10 h</td>' in twice


def test_rankings_of_three_are_asked_once_where_pairs_are_asked_thrice(admin, project, pipeline):
    generators = two_generators(project, pipeline, "third")
    address = reverse("plan-study", args=[project.slug])
    for design, said in (
        ("pairs", "<strong>30</strong> opinions on 2"),
        ("rankings", "<strong>10</strong> opinions on 3"),
    ):
        assert said in text_of(admin.get(address, fields(generators, captions=10, design=design)))


def test_a_plan_of_nonsense_takes_the_defaults(admin, project, generators):
    response = admin.get(
        reverse("plan-study", args=[project.slug]), {"captions": "many", "confidence": "0", "others": "x"}
    )
    assert response.status_code == 200
    assert "opinions on 2 images each" in text_of(response)


def test_a_study_is_repeated_with_other_prompts(admin, study, held_out):
    close_study(study, reason="Enough.", now=now())
    response = admin.post(reverse("repeat-study", args=[study.project.slug, study.pk]))
    again = Study.objects.exclude(pk=study.pk).get()
    assert response.url == reverse("study", args=[study.project.slug, again.pk])
    assert again.compared == study.compared


def test_a_study_that_cannot_be_repeated_says_why(admin, study):
    response = admin.post(reverse("repeat-study", args=[study.project.slug, study.pk]))
    assert response.status_code == 422
    assert "share no prompt" in text_of(response)


# Who may


def test_researchers_read_studies_and_change_nothing(client, rosa, study):
    client.force_login(rosa)
    slug = study.project.slug
    text = text_of(page_of(client, study))
    for action in ("close-study", "repeat-study", "publish-study", "withdraw-study-link"):
        assert reverse(action, args=[slug, study.pk]) not in text
        assert client.post(reverse(action, args=[slug, study.pk])).status_code == 404
    assert "Open a study" not in text_of(client.get(reverse("project-studies", args=[slug])))
    for name in ("open-study", "plan-study"):
        assert client.get(reverse(name, args=[slug])).status_code == 404
    study.refresh_from_db()
    assert (study.state, study.public_token) == (Study.State.OPEN, None)


@pytest.mark.parametrize("role", [Membership.Role.ANNOTATOR, Membership.Role.INSPECTOR, None])
def test_nobody_else_learns_of_a_study(client, eve, study, role):
    if role:
        add_member(project=study.project, user=eve, role=role)
    client.force_login(eve)
    slug = study.project.slug
    for name, *rest in (("project-studies",), ("study", study.pk), ("open-study",), ("plan-study",)):
        assert client.get(reverse(name, args=[slug, *rest])).status_code == 404


def test_a_study_of_another_project_is_not_there(admin, a_project, study):
    other = a_project()
    assert admin.get(reverse("study", args=[other.slug, study.pk])).status_code == 404
    for name in ("close-study", "repeat-study", "publish-study", "withdraw-study-link"):
        assert admin.post(reverse(name, args=[other.slug, study.pk])).status_code == 404


def test_the_menu_leads_to_studies(admin, study):
    text = text_of(admin.get(reverse("project-leaderboard", args=[study.project.slug])))
    assert reverse("project-studies", args=[study.project.slug]) in text
