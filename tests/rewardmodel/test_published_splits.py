"""Prompts that a dataset published in a split stay there, and no text is in two."""

import json

import pytest
from django.core.management import call_command

from annotation.services.imports import import_rankings
from refl.selectors.prompts import held_out_prompts, tuning_prompts
from rewardmodel.models import DatasetVersion
from rewardmodel.services.datasets import freeze_dataset
from rewardmodel.services.splits import Shares, split_of
from tests.cast import NOW
from tests.published import publish

TEXTS = {
    "train": [f"a fox, take {n}" for n in range(20)],
    "validation": ["a cat", "a dog"],
    "test": ["an owl", "a crow"],
}


@pytest.fixture
def published(project, tmp_path):
    """Import a dataset published in splits."""

    def imported(texts=TEXTS, **more):
        folder = publish(tmp_path / "published", texts, **more)
        return import_rankings(project=project, file=folder, now=NOW, skip_broken=True)

    return imported


def rows(version):
    return [json.loads(line) for line in (version.path / "rankings.jsonl").read_text().splitlines()]


def texts_by_split(version):
    return {split: [row["prompt"] for row in rows(version) if row["split"] == split] for split in TEXTS}


def test_a_frozen_prompt_is_in_the_split_it_was_published_in(project, published):
    published()
    version = freeze_dataset(project=project)
    assert texts_by_split(version) == {split: list(texts) for split, texts in TEXTS.items()}
    assert (version.split_by, version.repeated, version.left_out) == ("published", {}, 0)
    # Ranked 1, 2, 2: of three pairs one ties.
    assert version.counts["test"] == {"rankings": 2, "pairs": 4, "ties": 2, "prompts": 2, "images": 6}
    about = json.loads((version.path / "dataset.json").read_text())
    assert (about["split_by"], about["repeated"]) == ("published", {})


def test_the_hash_may_split_them_all_the_same(project, published):
    published()
    version = freeze_dataset(project=project, split_by="hash")
    assert all(row["split"] == split_of(row["prompt"], Shares()) for row in rows(version))
    assert version.split_by == "hash"
    assert version.hash != freeze_dataset(project=project).hash


def test_a_project_without_published_splits_is_split_by_hash(project, rank):
    rank(3)
    version = freeze_dataset(project=project)
    assert version.split_by == "hash"
    assert freeze_dataset(project=project, split_by="hash") == version


def test_other_prompts_are_split_by_their_text(project, published, rank):
    published()
    rank(5)
    for row in rows(freeze_dataset(project=project)):
        if row["prompt"].startswith("red circle"):
            assert row["split"] == split_of(row["prompt"], Shares())


def test_a_prompt_of_ours_with_a_published_text_is_in_its_split(project, published, rank):
    published()
    rank(1, text="An  OWL")
    assert texts_by_split(freeze_dataset(project=project))["test"] == ["an owl", "a crow", "An  OWL"]


def test_a_text_in_two_published_splits_stays_in_the_one_that_judges(project, published):
    twice = {"train": ["a fox", "An Owl", "a  cat"], "validation": ["a cat", "an owl"], "test": ["an owl"]}
    published(twice)
    version = freeze_dataset(project=project)
    assert texts_by_split(version) == {"train": ["a fox"], "validation": ["a cat"], "test": ["an owl"]}
    assert version.repeated == {"train": 2, "validation": 1}
    assert (version.answers, version.left_out) == (6, 0)


def test_a_ranking_with_a_broken_image_is_left_out_and_counted(project, published):
    assert len(published(broken={("train-3", 1): b""}).left_out) == 1
    version = freeze_dataset(project=project)
    assert version.left_out == 1
    assert "a fox, take 3" not in texts_by_split(version)["train"]


def test_the_published_test_split_tunes_no_generator_and_judges_it(project, published, encoder):
    published()
    assert held_out_prompts(encoder) == list(TEXTS["test"])
    assert set(tuning_prompts(encoder)) == set(TEXTS["train"])


def test_the_command_says_what_is_in_the_splits(project, published, capsys):
    published({"train": ["a fox", "an owl"], "validation": ["a cat"], "test": ["an owl"]})
    call_command("freeze_dataset", project.slug)
    said = capsys.readouterr().out
    assert "left out   1 train rankings whose text is in another split too" in said
    assert DatasetVersion.objects.get().split_by == "published"
    call_command("freeze_dataset", project.slug, "--split", "hash")
    assert DatasetVersion.objects.count() == 2
