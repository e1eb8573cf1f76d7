"""Each command and setting is documented; each documented command, setting, address and page exists."""

import ast
import re
from pathlib import Path

from django.core.management import get_commands
from django.urls import Resolver404, resolve

from tests.test_architecture import OURS

ROOT = Path(__file__).resolve().parent.parent
PAGES = {path: path.read_text() for path in (ROOT / "README.md", *sorted(ROOT.glob("docs/*.md")))}
TEXT = "\n".join(PAGES.values())

MAP = PAGES[ROOT / "docs/code.md"]
FRAMEWORKS_OWN = {"migrations", "templatetags", "commands"}  # folders that Django asks for


def found(pattern, text=TEXT):
    return set(re.findall(pattern, text, re.MULTILINE))


def settings_read():
    """The names that config/settings.py asks its environment for: env.str("NAME", ...) and the like."""
    tree = ast.parse((ROOT / "config/settings.py").read_text())
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return {call.args[0].value for call in calls if ast.unparse(call.func).startswith("env.") and call.args}


def settings_documented():
    """The names in the first column of the tables of settings."""
    return {name for cell in found(r"^\| (`[A-Z][^|]*) \|") for name in found(r"`([A-Z_0-9]+)`", cell)}


def is_served(path):
    try:
        return bool(resolve(path))
    except Resolver404:
        return False


def test_every_command_of_ours_is_documented():
    ours = {name for name, app in get_commands().items() if app in OURS}
    assert ours - found(r"manage\.py ([a-z_]+)") - found(r"`([a-z_]+)") == set()


def test_every_documented_command_exists():
    assert found(r"manage\.py ([a-z_]+)") - set(get_commands()) == set()


def test_every_setting_is_documented_and_every_documented_setting_is_read():
    assert settings_documented() == settings_read()


def test_every_documented_address_is_served():
    assert {path for path in found(r"`(/[a-z][a-z0-9/-]*)`") if not is_served(path)} == set()


def test_every_link_between_the_pages_leads_somewhere():
    links = [(page, link) for page, text in PAGES.items() for link in found(r"\]\(([^):#]+)[^):]*\)", text)]
    assert {(page.name, link) for page, link in links if not (page.parent / link).exists()} == set()


def rooms():
    """The folders of code within the apps."""
    packages = {file.parent for app in (*OURS, "config") for file in (ROOT / app).rglob("__init__.py")}
    inner = {path.relative_to(ROOT) for path in packages if not FRAMEWORKS_OWN & set(path.parts)}
    return {str(path) for path in inner if len(path.parts) > 1}


def mapped():
    """The paths on the map, whole or below the first of their line -> whether there is such a path."""
    paths = {}
    for line in MAP.splitlines():
        names = re.findall(r"`([a-z_]+/[\w./-]*|[a-z_/]+\.(?:py|toml))`", line)
        for name in names:
            places = [path for base in (ROOT, ROOT / names[0]) if (path := base / name).exists()]
            paths[str(places[0].relative_to(ROOT)) if places else name] = bool(places)
    return paths


def test_every_path_on_the_map_of_the_code_leads_somewhere():
    assert {path for path, exists in mapped().items() if not exists} == set()


def test_every_room_is_on_the_map_of_the_code():
    assert rooms() - mapped().keys() == set()
