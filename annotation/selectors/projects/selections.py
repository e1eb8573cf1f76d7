"""Candidate prompts, vectors of their texts, and chosen prompts."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from django.db import transaction
from django.db.models import Exists, Max, OuterRef, Q, QuerySet

from annotation.models import ChosenPrompt, Encoder, Project, Prompt, PromptSelection

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

AT_ONCE = 2000  # hashes in one query


def text_hash(text: str) -> str:
    """Return the key of a text's vector: the SHA-256 of its UTF-8, in hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()


def candidate_prompts(project: Project, *, up_to: int) -> list[tuple[int, str]]:
    """Return id and text of the project's prompts up to the id `up_to`, in their order."""
    rows = project.prompts.filter(pk__lte=up_to).order_by("pk").values_list("pk", "text")
    with transaction.atomic(savepoint=False):  # so that rows are streamed
        return list(rows.iterator(chunk_size=10_000))


def texts_without_vectors(encoder: Encoder, texts: Sequence[str]) -> list[str]:
    """Return the distinct texts without a vector by this encoder, in order."""
    by_hash = {text_hash(text): text for text in texts}
    for hashes in _batches(list(by_hash)):
        for digest in encoder.vectors.filter(text_sha256__in=hashes).values_list("text_sha256", flat=True):
            del by_hash[digest]
    return list(by_hash.values())


def vectors_of(encoder: Encoder, texts: Sequence[str]) -> NDArray[np.float32]:
    """Return the stored vectors, (N, D), in the order of the texts. Raises: KeyError for one without."""
    import numpy as np  # workers only: pages are lighter without

    hashes = [text_hash(text) for text in texts]
    vectors: dict[str, NDArray[np.float32]] = {}
    for batch in _batches(hashes):
        for digest, vector in encoder.vectors.filter(text_sha256__in=batch).values_list(
            "text_sha256", "vector"
        ):
            vectors[digest] = np.frombuffer(vector, "<f4")
    return np.stack([vectors[digest] for digest in hashes])


def wanted_prompts(*projects: Project) -> QuerySet[Prompt]:
    """Return the prompts to make images for: where some were selected the chosen ones, else all."""
    finished = PromptSelection.objects.finished().filter(project__in=projects)
    newest = finished.order_by().values("project").annotate(newest=Max("pk")).values("newest")
    chosen = Exists(ChosenPrompt.objects.filter(prompt=OuterRef("pk"), selection__in=newest))
    prompts = Prompt.objects.filter(project__in=projects)
    return prompts.filter(chosen | ~Q(project__in=finished.values("project")))


def newest_selection(project: Project) -> PromptSelection | None:
    """Return the newest finished selection, without its map, or None."""
    return PromptSelection.objects.finished().filter(project=project).defer("plane").first()


def _batches(hashes: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(hashes), AT_ONCE):
        yield hashes[start : start + AT_ONCE]
