"""What apps register with this one, which names none of those above it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from django.urls import URLPattern

import refl.urls
import rewardmodel.urls
from annotation.models import Project
from annotation.navigation import MENU, SECTIONS, Page, register_page
from annotation.registry import ACTIONS, EVENTS, register_action, register_event

ROOT = Path(__file__).resolve().parents[2]
SET_UP = """
import os, django
os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
django.setup()
from annotation.navigation import MENU
from annotation.registry import ACTIONS, EVENTS
print(*EVENTS)
print(*ACTIONS)
print(*(item.title for item in MENU))
"""
ABOVE = re.compile(r"\b(rewardmodel|refl)\b")
CODE = {*(ROOT / "annotation").rglob("*.py"), *(ROOT / "templates" / "annotation").rglob("*")}


def names(patterns):
    return {pattern.name for pattern in patterns if isinstance(pattern, URLPattern)}


def test_a_process_that_has_only_set_django_up_knows_everything_that_is_registered():
    """In the order in which pages list it."""
    known = subprocess.run([sys.executable, "-c", SET_UP], capture_output=True, text=True, check=True)
    events, actions, menu = known.stdout.splitlines()
    assert events.split() == [
        *("judgement.submitted", "judgement.revised", "review.made", "export.ready"),
        *("run.finished", "run.failed", "checkpoint.promoted", "checkpoint.waiting", "run.alarm"),
        *("generator.kept", "study.closed"),
    ]
    assert actions.split()[-12:] == [
        *("run.requested", "run.cancelled", "run.retried"),
        *("selection.discarded", "dataset.frozen"),
        *("checkpoint.promoted", "checkpoint.waiting", "checkpoint.not_better"),
        *("study.opened", "study.closed", "study.published", "study.unpublished"),
    ]
    assert set(actions.split()) == ACTIONS.keys()
    assert menu.split() == ["Inspect", "Projects", "Models", "Generators"]


@pytest.mark.parametrize(("register", "known"), [(register_event, EVENTS), (register_action, ACTIONS)])
def test_a_name_is_registered_once(register, known):
    before = dict(known)
    with pytest.raises(ValueError, match="registered already"):
        register("checkpoint.promoted", "Something else")
    assert known == before


def test_a_page_has_its_place_among_those_of_its_section():
    assert [page.tab for page in SECTIONS["Data"]] == ["prompts", "selections", "references", "exports"]
    assert [page.tab for page in SECTIONS["Results"]][-2:] == ["try", "evaluations"]
    for where in ({"section": "Elsewhere"}, {"section": "Data", "after": "log"}):
        with pytest.raises(ValueError, match="there is no"):
            register_page(Page("new", "New", "home"), **where)


def test_what_apps_above_register_leads_where_it_led():
    pages = {page.tab: page.address(Project(slug="birds")) for pages in SECTIONS.values() for page in pages}
    assert pages["selections"] == "/projects/birds/selections/"
    assert pages["try"] == "/projects/birds/try/"
    assert pages["evaluations"] == "/models/birds/evaluations/"
    assert [item.url for item in MENU][-2:] == ["models", "generators"]


def test_no_line_names_an_app_above():
    assert not [
        f"{file}:{number}: {line}"
        for file in CODE
        if file.is_file()
        for number, line in enumerate(file.read_text().splitlines(), start=1)
        if ABOVE.search(line)
    ]


def test_no_line_names_a_page_of_an_app_above():
    """By the name of its address, or by the address itself."""
    above = names(
        [*rewardmodel.urls.urlpatterns, *rewardmodel.urls.score_urls, *rewardmodel.urls.selection_urls]
    ) | names(refl.urls.urlpatterns)
    assert {"models", "generators", "selections"} <= above
    named = "|".join(map(re.escape, above))
    links = re.compile(
        rf"""(?:reverse|redirect|admins_projects)\(\s*["'](?:{named})["']|{{% url ["'](?:{named})["']"""
        r"""|["'/](?:models|generators|selections)/"""
    )
    found = {str(file): links.search(file.read_text()) for file in CODE if file.is_file()}
    assert not {file for file, match in found.items() if match}
