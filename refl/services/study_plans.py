"""What a study asks: checks at the door, the texts it takes, and what each task shows."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations, product
from math import comb
from typing import NamedTuple

from annotation.models import Assignment, Project, PromptLabel
from refl.models import Generator, Study, StudyConfig
from refl.seeds import seeds_of
from refl.selectors.prompts import TextsUnknown, texts_for_studies, texts_trained_on, texts_tuned_on
from rewardmodel.services.splits import folded

PROMPTS = 100  # of a study, where nobody says and there are so many; ours
MOST_TASKS = 20_000
WIDEST_MARGIN = 0.25  # ours: 25 against 75 votes of 100 are a difference to anybody; half says nothing
Design = Study.Design


class CannotStudy(ValueError):
    """The study cannot be opened; the message says what is wrong and what would help."""


class Subject(NamedTuple):
    """Images of one text from one seed, and the places of the generators whose images a task shows.

    `number` counts the study's texts from 0.
    """

    number: int
    seed: int
    places: tuple[int, ...]


class Facts(NamedTuple):
    """A text as the project's own prompts have it; "" for what is unknown."""

    translation: str
    category: str


def check_generators(project: Project, generators: Sequence[Generator]) -> None:
    """Raises: CannotStudy unless there are two or more of this project, each once, ready to sample from."""
    if len(generators) < 2:
        raise CannotStudy(f"a study compares 2 generators or more, not {len(generators)}")
    for generator in generators:
        if generator.project_id != project.pk:
            raise CannotStudy(f"{generator} is of another project than {project.slug}: they share no prompt")
        if generators.count(generator) > 1:
            raise CannotStudy(f"{generator} is named twice: a study compares different generators")
        if generator.kept is None:
            raise CannotStudy(f"{generator} is still being judged: wait until its tuning is over")
        if not generator.is_seen:
            raise CannotStudy(
                f"{generator} is not seen yet: nothing has loaded its pipeline; sample from it first"
            )


def check_config(project: Project, config: StudyConfig, generators: int) -> None:
    """Raises: CannotStudy naming the field that is out of range."""
    shown = generators if config.design == Design.RANKINGS else 2
    if config.design not in Design.values:
        raise CannotStudy(f"design: {' or '.join(Design.values)}, not {config.design!r}")
    if shown > project.max_images:
        raise CannotStudy(
            f"of {shown} images no more than {project.max_images} can be placed in a ranking: ask for pairs"
        )
    for field, least, most in (
        ("captions", 2, MOST_TASKS),
        ("images_per_caption", 1, 100),
        ("opinions", 1, 100),
        ("confidence", 0.5, 0.9999),
        ("margin", 0.0, WIDEST_MARGIN),
    ):
        value = getattr(config, field)
        if not least <= value <= most:
            raise CannotStudy(f"{field}: {least:,} to {most:,}, not {value}")


def choose_texts(
    project: Project,
    generators: Sequence[Generator],
    *,
    prompts: int | None,
    texts: Sequence[str] | None,
    rng: random.Random,
) -> list[str]:
    """Return the study's texts, each once, in random order. Raises: CannotStudy."""
    if texts is None:
        held_out = held_out_texts(project, generators)
        if not held_out:
            raise CannotStudy(
                f"{', '.join(map(str, generators))} share no prompt that none of them learned from: "
                "add prompts, or name texts"
            )
        if prompts is not None and prompts > len(held_out):
            raise CannotStudy(
                f"{project.slug} has {len(held_out)} held-out prompts, not {prompts}: "
                "ask for fewer, or for more images of each"
            )
        chosen = rng.sample(held_out, min(PROMPTS if prompts is None else prompts, len(held_out)))
    else:
        # Two spellings of a text are one: votes on them would not be independent.
        spellings: dict[str, str] = {}
        for text in filter(None, map(str.strip, texts)):
            spellings.setdefault(folded(text), text)
        chosen = list(spellings.values())
        _check_texts(project, generators, chosen)
        rng.shuffle(chosen)
    if len(chosen) < 2:
        raise CannotStudy(
            f"a study of {len(chosen)} prompt says nothing of others: it takes 2 or more, better 100"
        )
    return chosen


def held_out_texts(project: Project, generators: Sequence[Generator]) -> list[str]:
    """Return what a study of these generators may ask about. Raises: CannotStudy where nobody knows."""
    try:
        return texts_for_studies(project, generators)
    except TextsUnknown as error:
        raise CannotStudy(str(error)) from None


def check_tasks(config: StudyConfig, generators: int) -> None:
    """Raises: CannotStudy where the study asks for more than annotators could ever answer."""
    pairs = comb(generators, 2) if config.design == Design.PAIRS else 1
    asked = config.captions * config.images_per_caption * pairs * config.opinions
    if asked > MOST_TASKS:
        raise CannotStudy(
            f"the study would ask {asked:,} times, more than {MOST_TASKS:,}: "
            "take fewer prompts, images or opinions"
        )


def _check_texts(project: Project, generators: Sequence[Generator], texts: Sequence[str]) -> None:
    """Raises: CannotStudy where a text was trained or tuned on, or cannot be stored."""
    if broken := [text for text in texts if "\0" in text]:
        raise CannotStudy(f"{broken[0]!r} has a NUL character, which no prompt can hold: take it out")
    if long := [text for text in texts if len(text) > project.longest_prompt]:
        raise CannotStudy(
            f"{long[0][:40]!r}... has {len(long[0]):,} letters, and {project.slug} lets prompts have "
            f"{project.longest_prompt:,}"
        )
    if trained := texts_trained_on(project, texts):
        raise CannotStudy(
            f"{trained[0]!r} is in a training split, as {len(trained)} of {len(texts)} prompts are: "
            "a study takes held-out ones"
        )
    try:
        tuned = texts_tuned_on(generators)
    except TextsUnknown as error:
        raise CannotStudy(str(error)) from None
    if learned := [text for text in texts if folded(text) in tuned]:
        raise CannotStudy(
            f"{learned[0]!r} was tuned on by one of the generators: a study takes held-out prompts"
        )


def subjects(
    texts: Sequence[str], config: StudyConfig, generators: int, rng: random.Random
) -> Iterator[Subject]:
    """Yield what each task shows, text by text: a text counts once all its votes are in.

    Seeds are new to each study. With those of the project's own images, an annotator could meet an image of
    the base that they have ranked already.
    """
    salt = f"{rng.getrandbits(128):032x}"
    places = [tuple(range(generators))]
    if config.design == Design.PAIRS:
        places = list(combinations(range(generators), 2))
    for number, text in enumerate(texts):
        seeds = seeds_of(f"{salt} {text}", config.images_per_caption)
        tasks = [Subject(number, seed, shown) for seed, shown in product(seeds, places)]
        rng.shuffle(tasks)
        yield from tasks


def facts_of(project: Project, texts: Sequence[str]) -> Mapping[str, Facts]:
    """Return each text's translation and category as the project's own prompts have them, or ""."""
    wanted = project.prompts.filter(text__in=texts)
    translations = dict(wanted.exclude(translation="").values_list("text", "translation"))
    labels: dict[str, Counter[str]] = {text: Counter() for text in texts}
    accepted = PromptLabel.objects.filter(
        assignment__prompt__in=wanted, assignment__state=Assignment.State.ACCEPTED
    )
    for text, category in accepted.values_list("assignment__prompt__text", "category"):
        labels[text][category] += 1
    return {
        text: Facts(translations.get(text, ""), next((name for name, _ in labels[text].most_common(1)), ""))
        for text in texts
    }
