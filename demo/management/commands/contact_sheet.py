"""`manage.py contact_sheet`: the same captions drawn by two or more generators of a project, to look at."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from random import Random
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from annotation.management.projects import find_project
from annotation.models import Project
from demo.contact_sheet import contact_sheet
from demo.world.captions import Split, draw_captions
from refl.drawing import draw
from refl.models import Generator
from refl.selectors.generators import NoGenerator, newest_kept


class Command(BaseCommand):
    help = (
        "Draw held-out captions of the small world by several generators, from equal seeds, and lay the "
        "pictures side by side with what is right in each."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("project", help="the project's slug")
        parser.add_argument("--to", type=Path, required=True, help="the PNG to write")
        parser.add_argument(
            "--generators",
            nargs="+",
            metavar="NAME",
            help="their names; without any, the newest kept one beside the one that it was first tuned from",
        )
        parser.add_argument("--captions", type=int, default=16)
        parser.add_argument("--seed", type=int, default=0, help="draws the captions")

    def handle(self, *args: Any, **options: Any) -> None:
        project = find_project(options["project"])
        generators = (
            [_named(project, name) for name in options["generators"]]
            if options["generators"]
            else _first_and_newest(project)
        )
        folder = options["to"].absolute().parent
        if not folder.is_dir():
            raise CommandError(f"{folder}: no such folder")
        try:
            captions = draw_captions(Split.EVALUATION, options["captions"], Random(options["seed"]))
        except ValueError as error:
            raise CommandError(f"--captions: {error}") from error
        if not captions:
            raise CommandError("--captions must be at least 1")
        images = {
            generator.name: [image for (image,) in draw(generator, captions, each=1)]
            for generator in generators
        }
        contact_sheet(captions, images).save(options["to"])
        self.stdout.write(f"{options['to']}: {len(captions)} captions by {', '.join(images)}")


def _named(project: Project, name: str) -> Generator:
    generator = Generator.objects.filter(project=project, name=name).first()
    if generator is None:
        names = ", ".join(Generator.objects.filter(project=project).values_list("name", flat=True))
        raise CommandError(f"no generator is named {name!r} in {project.slug}; there are: {names or 'none'}")
    return generator


def _first_and_newest(project: Project) -> list[Generator]:
    """Return the newest kept generator, behind its first ancestor if it has one."""
    try:
        newest = first = newest_kept(project)
    except NoGenerator as error:
        raise CommandError(str(error)) from error
    while first.parent is not None:
        first = first.parent
    return [newest] if first == newest else [first, newest]
