"""Reward models of a project: registered, promoted by hand, and scoring its images."""

import csv
import io
import json

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, transaction
from PIL import Image

from annotation.models import Generation
from rewardmodel.models import RewardCheckpoint
from rewardmodel.scoring import scorer
from rewardmodel.selectors import initial_checkpoint, promoted_checkpoint
from rewardmodel.services.checkpoints import (
    NameTaken,
    promote,
    register_checkpoint,
)
from tests.cast import NOW, picture


def test_the_schema_lets_one_model_of_a_project_be_promoted(encoder, a_model):
    promote(encoder, now=NOW)
    a_model(0.1)
    with pytest.raises(IntegrityError), transaction.atomic():
        RewardCheckpoint.objects.update(promoted=True, promoted_at=NOW)


def test_registering_again_changes_nothing_but_where_it_lies(project, encoder):
    moved = register_checkpoint(project=project, name="encoder", folder="elsewhere")
    assert (moved, moved.folder) == (encoder, "elsewhere")
    assert RewardCheckpoint.objects.count() == 1


def test_the_name_of_what_a_run_made_is_taken_and_so_is_that_of_one_to_come(project, a_model):
    made = a_model(0.1)
    for name in (made.name, "reward-987654"):
        with pytest.raises(NameTaken):
            register_checkpoint(project=project, name=name, folder="elsewhere")
    register_checkpoint(project=project, name="reward-1-moved", folder="elsewhere")


def test_the_command_registers_what_can_be_loaded_and_nothing_else(
    project, encoder_folder, a_model, tmp_path, capsys
):
    call_command("register_reward_model", project.slug, "mine", str(encoder_folder))
    assert "mine is registered" in capsys.readouterr().out
    assert initial_checkpoint(project).location == str(encoder_folder)
    taken = a_model(0.1).name
    for name, folder, why in (
        ("broken", tmp_path, r"config\.json: no such file"),
        ("broken", "/nowhere", "no such checkpoint"),
        (taken, encoder_folder, "was made by"),
    ):
        with pytest.raises(CommandError, match=why):
            call_command("register_reward_model", project.slug, name, str(folder))
    assert not RewardCheckpoint.objects.filter(name="broken").exists()


def test_promoting_by_hand(project, encoder, capsys):
    call_command("promote_reward_model", project.slug, "encoder")
    assert promoted_checkpoint(project) == encoder
    assert "encoder: not evaluated, promoted (by hand)" in capsys.readouterr().out
    with pytest.raises(CommandError, match="no checkpoint 'nope'; there is: encoder"):
        call_command("promote_reward_model", project.slug, "nope")


def test_scoring_a_project_gives_each_image_the_promoted_models_score(project, encoder, rank, media):
    rank(2)
    promote(encoder, now=NOW)
    call_command("score_images", project.slug)
    model = scorer(promoted_checkpoint(project))
    for image in Generation.objects.select_related("prompt", "image"):
        expected = model.score(image.prompt.text, media / image.image.file.name)
        assert image.score == pytest.approx(expected, abs=1e-5)
        assert image.scored_by == "encoder"


def test_images_scored_already_are_not_scored_again(project, encoder, rank, capsys):
    rank(1)
    promote(encoder, now=NOW)
    call_command("score_images", project.slug)
    rank(1)
    call_command("score_images", project.slug)
    assert capsys.readouterr().out.split("\n")[:2] == ["3 images scored by encoder"] * 2


def test_scoring_files_prints_csv_or_json(project, encoder, rank, media):
    rank(1)
    promote(encoder, now=NOW)
    files = [str(media / name) for name in Generation.objects.values_list("image__file", flat=True)]
    printed = {}
    for form in ("csv", "json", "jsonl"):
        out = io.StringIO()
        call_command("score_images", project.slug, *files, prompt="red circle", format=form, stdout=out)
        printed[form] = out.getvalue()
    rows = list(csv.DictReader(io.StringIO(printed["csv"])))
    assert [row["file"] for row in rows] == files
    assert [float(row["score"]) for row in rows] == [row["score"] for row in json.loads(printed["json"])]
    assert [json.loads(line) for line in printed["jsonl"].splitlines()] == json.loads(printed["json"])


def test_scoring_files_can_go_on_past_broken_ones_and_mark_pngs(project, encoder, tmp_path, capsys):
    promote(encoder, now=NOW)
    marked, broken = tmp_path / "a.png", tmp_path / "b.png"
    marked.write_bytes(picture(1))
    broken.touch()
    options = {"prompt": "red circle", "keep_going": True, "write_png_info": True, "format": "json"}
    with pytest.raises(CommandError, match="1 files failed"):
        call_command("score_images", project.slug, str(tmp_path), **options)
    first, second = json.loads(capsys.readouterr().out)
    with Image.open(marked) as image:
        assert image.text == {"parameters": f"ImageReward Score: {first['score']:.4f}"}
    assert (second["score"], second["error"].split(":")[0]) == (None, str(broken))


def test_scoring_what_cannot_be_scored_names_it(project, encoder, tmp_path):
    with pytest.raises(CommandError, match="no reward model is promoted"):
        call_command("score_images", project.slug)
    promote(encoder, now=NOW)
    with pytest.raises(CommandError, match="need a --prompt"):
        call_command("score_images", project.slug, "a.png")
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    with pytest.raises(CommandError, match=r"broken\.png"):
        call_command("score_images", project.slug, str(broken), prompt="red circle")
