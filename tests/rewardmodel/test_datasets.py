"""Freezing: the same rankings give the same dataset, and no prompt is in two splits, now or later."""

import json
from itertools import combinations

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from annotation.models import Assignment, Generation, Rating
from annotation.models.judgements import Problem
from annotation.selectors.preferences import count_finished
from annotation.services.judgements.reviews import send_back
from rewardmodel.learning.data.rankings import load_rankings
from rewardmodel.learning.model.aspects import PROBLEMS
from rewardmodel.models import DatasetVersion, TrainingRun
from rewardmodel.selectors import answers_since_training, rankings_since
from rewardmodel.services.datasets import NothingToFreeze, freeze_dataset
from rewardmodel.services.splits import Shares, split_of
from tests.cast import NOW


def rows(version):
    return [json.loads(line) for line in (version.path / "rankings.jsonl").read_text().splitlines()]


def test_a_frozen_ranking_has_its_prompt_its_images_and_their_slots(project, rank):
    rank(1)
    [row] = rows(freeze_dataset(project=project))
    assignment = Assignment.objects.get()
    placements = assignment.ranking.placements.order_by("pk")
    assert row == {
        "id": str(assignment.pk),
        "prompt": assignment.prompt.text,
        "split": split_of(assignment.prompt.text, Shares()),
        "images": [placement.generation.image.file.name for placement in placements],
        "ranking": [placement.slot for placement in placements],
    }


def test_the_same_rankings_give_the_same_version(project, rank):
    rank(5)
    first = freeze_dataset(project=project)
    written = (first.path / "rankings.jsonl").read_bytes()
    assert freeze_dataset(project=project) == first
    assert DatasetVersion.objects.count() == 1
    assert (first.path / "rankings.jsonl").read_bytes() == written


def test_more_rankings_give_another_version_and_leave_the_first_as_it_was(project, rank):
    rank(5)
    first = freeze_dataset(project=project)
    written = (first.path / "rankings.jsonl").read_bytes()
    rank(2)
    second = freeze_dataset(project=project)
    assert second.hash != first.hash
    assert (first.path / "rankings.jsonl").read_bytes() == written
    assert rows(second)[:5] == rows(first)


@pytest.mark.parametrize("soft_labels", [False, True])
def test_a_ranking_accepted_while_the_version_is_made_is_not_in_it(project, rank, soft_labels):
    rank(3)
    first = freeze_dataset(project=project, soft_labels=soft_labels)
    late = []

    def settle(execute, sql, *args):
        done = execute(sql, *args)
        if sql.startswith("UPDATE") and "settled_until" in sql and not late:
            late.append(sql)
            rank(1)
        return done

    with connection.execute_wrapper(settle):
        assert freeze_dataset(project=project, soft_labels=soft_labels) == first
    assert late
    assert freeze_dataset(project=project, soft_labels=soft_labels).answers == 4


def test_rankings_rejected_after_the_freeze_never_count_below_none(project, rank, rita, encoder):
    rank(3)
    dataset = freeze_dataset(project=project)
    TrainingRun.objects.create(project=project, dataset=dataset, initial=encoder)
    send_back(assignment=Assignment.objects.first(), inspector=rita, reason="Careless", now=NOW)
    assert rankings_since(project.datasets.get(), finished=count_finished(project)) == 0


def test_what_was_frozen_to_measure_models_puts_no_training_off(project, rank, encoder):
    rank(3)
    TrainingRun.objects.create(project=project, dataset=freeze_dataset(project=project), initial=encoder)
    rank(2)
    freeze_dataset(project=project)
    assert answers_since_training(project) == 2


def test_a_folder_without_its_row_is_taken_over(project, rank):
    """The process died between the two."""
    rank(3)
    first = freeze_dataset(project=project)
    DatasetVersion.objects.all().delete()
    assert freeze_dataset(project=project).hash == first.hash
    assert [folder.name for folder in first.path.parent.iterdir()] == [first.folder]


def test_no_prompt_text_is_in_two_splits_however_it_is_written(project, rank):
    texts = ["A red  circle", "a red circle ", "a RED circle", "\uff41 red circle"]
    assert len({split_of(text, Shares()) for text in texts}) == 1
    rank(2, text="a red circle")
    rank(2, text="A red  circle")
    assert len({row["split"] for row in rows(freeze_dataset(project=project))}) == 1


def test_a_prompt_keeps_its_split_when_shares_of_the_others_stay():
    small, large = Shares(0.8, 0.1, 0.1), Shares(0.8, 0.2, 0.0)
    for text in (f"prompt {n}" for n in range(300)):
        assert (split_of(text, small) == "train") == (split_of(text, large) == "train")


def test_splits_have_about_their_shares():
    splits = [split_of(f"prompt {n}", Shares()) for n in range(2000)]
    assert 0.77 < splits.count("train") / 2000 < 0.83
    assert 0.08 < splits.count("test") / 2000 < 0.12


@pytest.mark.parametrize("shares", [(0.5, 0.5, 0.5), (1.2, -0.1, -0.1)])
def test_shares_that_do_not_add_up_are_refused(shares):
    with pytest.raises(ValueError, match="add up to 1"):
        Shares(*shares)


def test_counts_say_what_is_in_each_split(project, rank):
    rank(30)
    version = freeze_dataset(project=project)
    for split, counts in version.counts.items():
        ours = [row for row in rows(version) if row["split"] == split]
        assert counts["rankings"] == counts["prompts"] == len(ours)
        assert counts["pairs"] == 3 * len(ours)
        assert counts["ties"] == 0
        assert counts["images"] == 3 * len(ours)
    assert version.total("rankings") == version.answers == 30
    about = json.loads((version.path / "dataset.json").read_text())
    assert (about["hash"], about["counts"], about["shares"]["test"]) == (version.hash, version.counts, 0.1)


def test_rankings_without_their_images_are_left_out_and_counted(project, rank):
    rank(3)
    Generation.objects.filter(source="r2-1.png").update(image=None)
    version = freeze_dataset(project=project)
    assert (version.answers, version.left_out, len(rows(version))) == (3, 1, 2)


def test_nothing_to_freeze_is_an_error_and_leaves_nothing(project, settings):
    with pytest.raises(NothingToFreeze, match="0 finished rankings"):
        freeze_dataset(project=project)
    assert not DatasetVersion.objects.exists()
    assert not settings.DATASETS_DIR.exists()


def test_the_command_freezes_and_prints_counts(project, rank, capsys):
    rank(3)
    call_command("freeze_dataset", project.slug)
    assert DatasetVersion.objects.get().hash in capsys.readouterr().out


def test_the_command_names_the_projects_there_are(project):
    with pytest.raises(CommandError, match=f"no project 'nope'; there is: {project.slug}"):
        call_command("freeze_dataset", "nope")
    with pytest.raises(CommandError, match="none of 0 finished rankings"):
        call_command("freeze_dataset", project.slug)


def test_soft_labels_say_of_each_pair_how_likely_people_prefer_its_first_image(project, rank):
    rank(2)
    plain = freeze_dataset(project=project)
    soft = freeze_dataset(project=project, soft_labels=True)
    assert soft.hash != plain.hash
    assert soft.counts == plain.counts
    for row in rows(soft):
        by_gap = {1: set(), 2: set(), -1: set(), -2: set()}
        for (i, j), label in zip(combinations(row["ranking"], 2), row["preferred"], strict=True):
            by_gap[j - i].add(label)  # by how many slots the first stands better
        likely = [label for gap in (-2, -1, 1, 2) for label in by_gap[gap]]
        assert likely == sorted(likely)
        assert all(label > 0.5 for gap in (1, 2) for label in by_gap[gap])
        assert all(label < 0.5 for gap in (-1, -2) for label in by_gap[gap])
    assert json.loads((soft.path / "dataset.json").read_text())["soft_labels"]
    assert freeze_dataset(project=project, soft_labels=True) == soft


def test_the_command_freezes_soft_labels_when_asked(project, rank):
    rank(2)
    call_command("freeze_dataset", project.slug, "--soft-labels")
    assert all("preferred" in row for row in rows(DatasetVersion.objects.get()))


def test_ratings_say_what_the_author_of_each_ranking_said_of_its_images(project, rank):
    rank(2)
    plain = freeze_dataset(project=project)
    Rating.objects.all().delete()
    for assignment in Assignment.objects.all():
        first, second = [each.generation for each in assignment.ranking.placements.order_by("pk")][:2]
        answers = {"overall": 5, "alignment": 2, "fidelity": 7}
        Rating.objects.create(assignment=assignment, generation=first, problems=["blurry"], **answers)
        Rating.objects.create(assignment=assignment, generation=second, problems=None, **answers)
    assert freeze_dataset(project=project) == plain
    rated = freeze_dataset(project=project, ratings=True)
    assert rated.hash != plain.hash
    for row, before in zip(rows(rated), rows(plain), strict=True):
        unrated = [None] * (len(row["images"]) - 2)
        boxes = [problem == "blurry" for problem in PROBLEMS]
        assert row == {
            **before,
            "ratings": {"alignment": [2, 2, *unrated], "fidelity": [7, 7, *unrated]},
            "problems": [boxes, None, *unrated],
        }
    assert json.loads((rated.path / "dataset.json").read_text())["ratings"]
    assert len(load_rankings(rated.path, rows(rated)[0]["split"])) > 0


def test_the_problems_that_a_head_learns_are_those_that_people_tick():
    assert list(PROBLEMS) == Problem.values


def test_the_command_freezes_ratings_when_asked(project, rank):
    rank(2)
    call_command("freeze_dataset", project.slug, "--ratings")
    assert all("ratings" in row for row in rows(DatasetVersion.objects.get()))
