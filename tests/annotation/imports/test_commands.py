"""The import commands: what they print, and one line when they refuse."""

import pytest
from django.core.management import CommandError, call_command

from tests.annotation.imports.rows import manifest_row, ranking_row


def test_commands_say_what_came_in_and_refuse_with_one_line(project, written, foxes, capsys, tmp_path):
    prompts, manifest = written("p.txt", "an owl"), written("m.jsonl", [manifest_row()])
    rankings = written("r.json", [ranking_row(key="9")])
    call_command("import_prompts", project.slug, prompts)
    assert "1 prompts new, 0 known" in capsys.readouterr().out
    call_command("import_generations", project.slug, manifest)
    assert "1 prompts and 2 images new; 1 assignments opened" in capsys.readouterr().out
    call_command("import_generations", project.slug, manifest)
    assert "Nothing new" in capsys.readouterr().out
    call_command("import_rankings", project.slug, rankings)
    assert "1 rankings new, 0 known already; 1 prompts and 3 images new" in capsys.readouterr().out
    for command in ("import_prompts", "import_generations", "import_rankings"):
        with pytest.raises(CommandError, match=r"nowhere\.jsonl: is missing"):
            call_command(command, project.slug, tmp_path / "nowhere.jsonl")
        with pytest.raises(CommandError, match="no project 'nope'"):
            call_command(command, "nope", prompts)
