"""Nothing that counts, lists, exports or learns from a project's preferences has rows of a study."""

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from annotation.models import Assignment
from annotation.selectors.exports import Selection, batches, extent
from annotation.selectors.projects.selections import candidate_prompts, wanted_prompts
from annotation.selectors.results.agreement import project_agreement, rating_agreement, read_opinions
from annotation.selectors.results.analysis import project_analysis
from annotation.selectors.results.leaderboard import project_leaderboard
from annotation.selectors.results.progress import project_progress
from annotation.services.assignments.assignments import claim_next
from annotation.services.assignments.overlap import ask_where_opinions_differ
from annotation.services.checks.checks import draw_check
from annotation.services.judgements.judgements import submit_judgement
from refl.selectors.prompts import held_out_prompts, prompts_without_images, watched_prompts
from refl.selectors.studies import study_report
from rewardmodel.services.datasets import freeze_dataset
from tests.annotation.test_api import signed_in
from tests.cast import NOW, answer_for, luck
from tests.refl.studied import answer, hand_in


@pytest.fixture
def ranked(project, a_prompt, alice, bob):
    """Three ordinary prompts, ranked by two people who differ."""
    project.opinions_per_prompt, project.agreement_wanted, project.extra_opinions = 2, 1.0, 1
    project.save()
    for _ in range(3):
        a_prompt()
    for person, slots in ((alice, [1, 2, 3]), (bob, [2, 1, 3])):
        while (task := claim_next(annotator=person, project=project, now=NOW, generator=luck())) is not None:
            judgement = answer_for(task, slots=slots)
            submit_judgement(
                assignment=task, annotator=person, judgement=judgement, now=NOW, generator=luck()
            )
    Assignment.objects.update(state="accepted", accepted_at=NOW)


def everything(project, promoted):
    progress = project_progress(project, now=NOW)
    opinions = read_opinions(project)
    exported = Selection(project, until=NOW)
    return {
        "progress": (progress.prompts, progress.images, progress.assignments, progress.pairs, progress.ties),
        "days": (progress.days, progress.pace),
        "leaderboard": project_leaderboard(project),
        "agreement": project_agreement(opinions, "half").table,
        "ratings": rating_agreement(project),
        "analysis": repr(project_analysis(project)),
        "export": (extent(exported), list(batches(exported))),
        "candidates": candidate_prompts(project, up_to=10**9),
        "wanted": list(wanted_prompts(project)),
        "without images": list(prompts_without_images(project)),
        "held out": held_out_prompts(promoted),
        "watched": watched_prompts(promoted),
        "dataset": freeze_dataset(project=project).hash,
    }


def lists_of(project, ada):
    page = Client()
    page.force_login(ada)
    api = f"/api/v1/projects/{project.slug}"
    reader = signed_in(ada)
    return (
        page.get(f"/projects/{project.slug}/prompts/").text.count("a fox"),
        reader.get(f"{api}/prompts/").json()["count"],
        reader.get(f"{api}/images/").json()["count"],
        b"".join(reader.get(f"{api}/rankings/").streaming_content),
    )


def test_a_projects_figures_are_the_same_with_a_study_and_without(
    ranked, a_study, alice, bob, ada, project, promoted, settings, tmp_path
):
    settings.DATASETS_DIR = tmp_path
    before, listed = everything(project, promoted), lists_of(project, ada)
    study = hand_in(a_study(opinions=2, stops=False))
    answer(study, alice, ["coarse", "small"])
    answer(study, bob, ["small", "coarse"])
    assert study_report(study).rates[0].result.votes == 8
    after = everything(project, promoted)
    assert after == before
    assert lists_of(project, ada) == listed


def test_opinions_that_differ_in_a_study_are_asked_no_third_time_and_repeated_to_nobody(
    a_study, alice, bob, project
):
    project.opinions_per_prompt, project.agreement_wanted, project.extra_opinions = 2, 1.0, 1
    project.repeat_share, project.gold_share = 0.5, 0.5
    study = hand_in(a_study(opinions=2, stops=False))
    answer(study, alice, ["coarse", "small"])
    answer(study, bob, ["small", "coarse"])
    assert ask_where_opinions_differ(project=project) == []
    draws = [draw_check(annotator=alice, project=project, generator=luck()) for _ in range(5)]
    assert draws == [None] * 5


def test_a_report_takes_as_many_queries_however_many_prompts_it_has(a_study, alice):
    counts = []
    for name, prompts in (("short", 2), ("long", 9)):
        study = hand_in(a_study(name=name, captions=prompts, stops=False))
        answer(study, alice, ["coarse", "small"])
        with CaptureQueriesContext(
            connection,
        ) as queries:
            study_report(study)
        counts.append(len(queries))
    assert counts[0] == counts[1] <= 10
