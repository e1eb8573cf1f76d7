"""Exports: what came in comes out equal, whole or not at all."""

import json

import pytest
from django.core.management import CommandError, call_command

from annotation.models import Assignment
from annotation.selectors.exports import as_json_list, export_imagereward
from annotation.services.assignments import claim_next
from annotation.services.exports import ExportRefused, write_export
from annotation.services.imports import import_rankings
from annotation.services.judgements import submit_judgement
from annotation.services.reviews import accept
from tests.cast import NOW, answer_for, luck

RANKINGS = [
    {
        "id": "2",
        "prompt": "ein Fuchs, zäh",
        "generations": ["z/1.png", "a/2.png", "m/3.png"],
        "ranking": [2, 2, 5],
    },
    {"id": "1", "prompt": "an owl", "generations": ["1.png", "2.png"], "ranking": [4, 1]},
    {"id": "3", "prompt": "an owl", "generations": ["1.png", "2.png"], "ranking": [3, 3]},
]


@pytest.fixture
def imported(project, tmp_path):
    """Two rankings of one text under two ids, and a third."""
    file = tmp_path / "r.json"
    file.write_text(json.dumps(RANKINGS))
    import_rankings(project=project, file=file, now=NOW, without_images=True)
    return project


def test_imported_rankings_come_out_as_they_came_in(imported, tmp_path):
    export = write_export(project=imported, format="imagereward", folder=tmp_path / "out", now=NOW)
    assert json.loads((tmp_path / "out/imagereward.json").read_text()) == RANKINGS
    assert (export.rankings, export.images, export.pairs, export.ties) == (3, 7, 3, 2)


def test_the_card_counts_pairs_with_and_without_ties(imported, tmp_path):
    write_export(project=imported, format="imagereward", folder=tmp_path / "out", now=NOW)
    card = (tmp_path / "out/README.md").read_text()
    assert "| pairs in different slots | 3 |" in card
    assert "| pairs tied | 2 |" in card
    assert "| pairs, ties included | 5 |" in card
    assert "Guideline: version 1." in card


def test_only_accepted_answers_are_exported_one_item_an_opinion(a_project, a_prompt, alice, bob, rita):
    project = a_project(opinions_per_prompt=2)
    prompt = a_prompt(project=project)
    for annotator, slots in ((alice, [1, 2, 3]), (bob, [3, 2, 1])):
        held = claim_next(annotator=annotator, project=project, now=NOW, generator=luck())
        judgement = answer_for(held, slots=slots)
        submit_judgement(assignment=held, annotator=annotator, judgement=judgement, now=NOW, generator=luck())
    assert list(export_imagereward(project)) == []
    for answer in Assignment.objects.all():
        accept(assignment=answer, inspector=rita, now=NOW)
    items = list(export_imagereward(project))
    slots = [dict(zip(item["generations"], item["ranking"], strict=True)) for item in items]
    sources = list(prompt.generations.values_list("source", flat=True))
    assert [[placed[source] for source in sources] for placed in slots] == [[1, 2, 3], [3, 2, 1]]


def test_a_folder_that_holds_something_is_left_alone(imported, tmp_path):
    (tmp_path / "out").mkdir()
    write_export(project=imported, format="imagereward", folder=tmp_path / "out", now=NOW)
    with pytest.raises(ExportRefused, match="holds something already"):
        write_export(project=imported, format="imagereward", folder=tmp_path / "out", now=NOW)
    with pytest.raises(ExportRefused, match="cannot be written"):
        write_export(project=imported, format="imagereward", folder=tmp_path / "r.json", now=NOW)


def test_an_export_that_is_interrupted_leaves_nothing(imported, tmp_path):
    def interrupt(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_export(
            project=imported, format="imagereward", folder=tmp_path / "out", now=NOW, progress=interrupt
        )
    assert [file.name for file in tmp_path.iterdir()] == ["r.json"]


@pytest.mark.parametrize("items", [[], [{"a": "é"}], [{"a": 1}, {"a": 2}]])
def test_a_streamed_list_is_the_list(items):
    assert json.loads("".join(as_json_list(items))) == items


def test_the_command_writes_and_counts_and_refuses_with_one_line(imported, tmp_path, capsys):
    call_command("export_preferences", imported.slug, "--format", "imagereward", "--to", tmp_path / "out")
    assert "3 rankings of 7 images: 3 pairs in different slots, 2 tied" in capsys.readouterr().out
    with pytest.raises(CommandError, match="holds something already"):
        call_command("export_preferences", imported.slug, "--to", tmp_path / "out")
    with pytest.raises(CommandError, match="no project 'nope'"):
        call_command("export_preferences", "nope", "--to", tmp_path / "other")
