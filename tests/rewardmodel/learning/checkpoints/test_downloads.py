"""Published models by name, and settings in the published form."""

import json

import pytest

from rewardmodel.learning import available_models, load
from rewardmodel.learning.checkpoints.downloads import fetch
from rewardmodel.learning.errors import CheckpointError


@pytest.fixture
def settings_file(tmp_path, backbone):
    """BLIP's settings file of the tiny model's text encoder, with changes."""

    def write(**changes):
        file, text = tmp_path / "med_config.json", backbone.text
        settings = {
            "architectures": ["BertModel"],
            "hidden_act": "gelu",
            "hidden_size": text.width,
            "num_hidden_layers": text.layers,
            "num_attention_heads": text.heads,
            "intermediate_size": text.feed_forward,
            "vocab_size": text.vocabulary,
            "max_position_embeddings": text.positions,
            "layer_norm_eps": text.norm_eps,
            "encoder_width": 768,
        }
        file.write_text(json.dumps(settings | changes))
        return file

    return write


def test_the_published_name_is_available():
    assert available_models() == ["ImageReward-v1.0"]


def test_a_file_fetched_earlier_is_taken_as_it_lies(tmp_path):
    (tmp_path / "ImageReward.pt").touch()
    assert fetch("ImageReward-v1.0", tmp_path) == tmp_path / "ImageReward.pt"


def test_without_a_network_it_is_said_what_to_fetch_and_where_to_put_it(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(CheckpointError, match=r"fetch https://.*/ImageReward\.pt and put it at") as raised:
        load("ImageReward-v1.0", "cpu", str(tmp_path))
    assert str(tmp_path / "ImageReward.pt") in str(raised.value)


def test_settings_of_the_model_itself_are_accepted(initial, settings_file):
    load(str(initial), "cpu", None, str(settings_file()))


def test_settings_of_another_model_are_refused_with_what_differs(initial, settings_file):
    with pytest.raises(CheckpointError, match=r"heads is 3, not 12; the activation is gelu, not relu"):
        load(initial, "cpu", med_config=settings_file(num_attention_heads=12, hidden_act="relu"))
    with pytest.raises(CheckpointError, match="cannot be read as settings"):
        load(initial, "cpu", med_config=initial / "nowhere.json")
