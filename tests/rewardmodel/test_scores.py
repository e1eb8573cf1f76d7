"""Scores of a project's images, and whether the model had learned from the prompt."""

import math
import shutil

import PIL.Image
import pytest
from django.core.management import CommandError, call_command

from annotation.models import Generation
from annotation.selectors.projects.choices import scored_prompts
from rewardmodel.learning import load
from rewardmodel.models import RewardCheckpoint, TrainingRun
from rewardmodel.services.checkpoints import register_checkpoint
from rewardmodel.services.choices import see
from rewardmodel.services.datasets import freeze_dataset
from rewardmodel.services.scores import score_generations
from rewardmodel.services.splits import Shares, split_of


def seen_and_unseen():
    rows = Generation.objects.values_list("prompt__text", "scored_unseen")
    return {text for text, unseen in rows if not unseen}, {text for text, unseen in rows if unseen}


def test_a_model_that_no_run_made_has_learned_from_no_prompt(rank, encoder):
    rank(3)
    score_generations(checkpoint=encoder)
    seen, unseen = seen_and_unseen()
    assert (len(seen), len(unseen)) == (0, 3)


def test_a_runs_model_has_learned_from_all_prompts_outside_its_test_split(
    project, rank, encoder, encoder_folder
):
    rank(20)
    shares = Shares(0.5, 0.1, 0.4)
    dataset = freeze_dataset(project=project, shares=shares)
    run = TrainingRun.objects.create(project=project, dataset=dataset, initial=encoder)
    shutil.copytree(encoder_folder, run.folder / "best")
    score_generations(checkpoint=RewardCheckpoint.objects.create(project=project, name="round 1", run=run))
    seen, unseen = seen_and_unseen()
    assert {split_of(text, shares) for text in unseen} == {"test"}
    assert seen
    assert "test" not in {split_of(text, shares) for text in seen}


def test_a_score_says_where_it_stands_and_how_probably_it_is_preferred_to_the_bases(
    project, rank, encoder, referenced
):
    rank(2)
    score_generations(checkpoint=encoder)
    assert not Generation.objects.exclude(score_percentile=None, score_preferred=None).exists()
    known = register_checkpoint(project=project, name="known", folder=str(referenced))
    known.metrics = {"base": {"generator": "hasty", "reward": 0.25, "images": 9}}
    score_generations(checkpoint=known)
    for image in Generation.objects.all():
        assert image.score_percentile == pytest.approx(min(100, max(0, 50 * (image.score + 1))))
        assert image.score_preferred == pytest.approx(1 / (1 + math.exp((0.25 - image.score) / 0.5)))
    assert known.compared_with == "the median of hasty's images"
    assert encoder.compared_with == "the median of the images it was validated on"


def test_images_that_cannot_be_read_are_passed_over_named_and_counted(project, rank, encoder, capsys):
    """Two of eight prompts lack an image, or have one that no model can take or that was put in its place."""
    rank(8)
    gone, thin = Generation.objects.get(source="r1-0.png"), Generation.objects.get(source="r2-1.png")
    gone.image.file.storage.delete(gone.image.file.name)
    PIL.Image.new("RGB", (1, 3000)).save(thin.image.file.path)
    call_command("score_images", project.slug, checkpoint="encoder")
    printed = capsys.readouterr()
    assert "22 images scored by encoder" in printed.out
    assert "2 images passed over" in printed.out
    assert "r1-0.png of prompt r1: no such image" in printed.err
    assert "r2-1.png of prompt r2: not a whole image (1 x 3000 pixels are too long and narrow)" in printed.err
    assert set(Generation.objects.filter(score=None)) == {gone, thin}
    other = Generation.objects.get(source="r1-1.png")
    Generation.objects.filter(prompt=other.prompt).update(scored_by="", score=None)
    PIL.Image.new("RGB", (30, 30)).save(other.image.file.path)
    with pytest.raises(CommandError, match=r"^3 of 24 images cannot be read: .*another image than was"):
        call_command("score_images", project.slug, checkpoint="encoder")
    assert Generation.objects.filter(score=None).count() == 3


def test_tasks_with_an_image_that_is_gone_since_come_last_in_a_designs_order(project, rank, encoder):
    rank(3)
    score_generations(checkpoint=encoder)
    gone = Generation.objects.get(source="r2-0.png")
    prompts = list(Generation.objects.order_by("pk").values_list("prompt", flat=True).distinct())
    gone.image.file.storage.delete(gone.image.file.name)
    waiting = scored_prompts(prompts, scored_by=encoder.name)
    seen = dict(see(load(encoder.location), waiting, should_stop=lambda: False))
    assert list(seen) == [prompt for prompt in waiting if prompt != gone.prompt_id]
