"""The skeletons of the names that there are. Of accounts that look alike already, the first has it."""

import json
import unicodedata
from importlib.resources import files

from django.db import migrations

IMPORTED = "imported:"


def prototypes():
    """As annotation.names was when this was written."""
    source = files("confusable_homoglyphs").joinpath("confusables.json").read_text(encoding="utf-8")
    stars = {}
    for letter, alike in json.loads(source).items():
        stars.setdefault(letter.strip("\u200e\u200f"), set()).update(a["c"].strip("\u200e\u200f") for a in alike)
    return {
        letter: max({letter, *alike}, key=lambda other: (len(stars.get(other, ())), len(other), other))
        for letter, alike in stars.items()
        if len(letter) == 1
    }


def write_skeletons(apps, schema_editor):
    User = apps.get_model("annotation", "User")
    table, seen = prototypes(), set()
    for pk, name in User.objects.order_by("pk").values_list("pk", "username"):
        if name.startswith(IMPORTED):
            continue
        folded = unicodedata.normalize("NFD", unicodedata.normalize("NFKC", name).strip().casefold())
        mapped = "".join(table.get(letter, letter) for letter in folded)
        skeleton = unicodedata.normalize("NFD", mapped).casefold()[:600]
        if skeleton not in seen:
            seen.add(skeleton)
            User.objects.filter(pk=pk).update(skeleton=skeleton)


class Migration(migrations.Migration):
    dependencies = [("annotation", "0034_names_have_skeletons")]

    operations = [migrations.RunPython(write_skeletons, migrations.RunPython.noop)]
