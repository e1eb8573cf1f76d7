"""Whether a pipeline's tokenizer has the vocabulary that its text encoder was trained with. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from refl.learning.families.folders import PipelineFolder


def check_tokenizer(folder: PipelineFolder, tokenizer: str, encoder: str, config: Mapping[str, Any]) -> None:
    """Refuse a tokenizer that is not its text encoder's.

    transformers makes one without its vocabulary, which reads every word as unknown, and no error is raised.

    Args: tokenizer, encoder: names of components; config: of the text encoder.
    Raises: NotAPipeline.
    """
    file, positions = f"{tokenizer}/tokenizer_config.json", config.get("max_position_embeddings")
    longest = folder.read_json(file).get("model_max_length")
    if type(longest) is not int or (positions is not None and longest > positions):
        limit = "as many tokens" if positions is None else f"{positions} tokens, as many"
        raise folder.fault(file, f"model_max_length is {longest}: set it to {limit} as {encoder} reads")
    size, rows = _vocabulary_size(folder, tokenizer), config.get("vocab_size")
    # Embeddings are padded to a round number at most, and a vocabulary that lost words is none.
    if size is not None and rows is not None and not 0.9 * rows < size <= rows:
        raise folder.fault(
            f"{tokenizer}/",
            f"its vocabulary has {size} tokens, but {encoder} has {rows}: "
            f"put the files of {encoder}'s own tokenizer there",
        )


def _vocabulary_size(folder: PipelineFolder, tokenizer: str) -> int | None:
    """Return how many tokens it has; None where only a model of sentencepiece says."""
    whole, words, merges, pieces = (
        f"{tokenizer}/{file}" for file in ("tokenizer.json", "vocab.json", "merges.txt", "spiece.model")
    )
    if whole in folder.files:
        content = folder.read_json(whole)
        try:
            added = {token["content"] for token in content.get("added_tokens", ())}
            vocabulary = content["model"]["vocab"]  # of words, or of words and their weights
            return len(added | {word if isinstance(word, str) else word[0] for word in vocabulary})
        except (LookupError, TypeError) as error:
            raise folder.fault(whole, "it has no vocabulary; fetch or save it again") from error
    if words in folder.files and merges in folder.files:
        more = f"{tokenizer}/added_tokens.json"
        extra = folder.read_json(more) if more in folder.files else {}
        return len(folder.read_json(words).keys() | extra.keys())
    if pieces in folder.files:
        return None
    raise folder.fault(
        merges if words in folder.files else words,
        "it is missing, and without its vocabulary no word is known; put tokenizer.json, or vocab.json and "
        "merges.txt, there",
    )
