"""Which of a hub repository's files are fetched, and what is said when they cannot be."""

import pytest

from rewardmodel.learning.checkpoints import hub, settle
from rewardmodel.learning.errors import CheckpointError


@pytest.mark.parametrize(
    ("files", "named", "wanted"),
    [
        (["README.md", "ImageReward.pt", "med_config.json"], None, ["ImageReward.pt"]),
        (["config.json", "model.safetensors", "pytorch_model.bin"], None, ["model.safetensors"]),
        (
            ["HPS_v2_compressed.pt", "HPS_v2.1_compressed.pt"],
            "HPS_v2.1_compressed.pt",
            ["HPS_v2.1_compressed.pt"],
        ),
    ],
)
def test_the_files_that_hold_the_weights_are_fetched(files, named, wanted):
    assert hub.choose(files, named) == wanted


def test_of_several_models_one_must_be_named():
    with pytest.raises(CheckpointError, match=r"HPS_v2\.pt, HPS_v2\.1\.pt; name one"):
        hub.choose(["HPS_v2.pt", "HPS_v2.1.pt"], None)


@pytest.mark.parametrize(
    ("text", "is_id"),
    [
        ("zai-org/ImageReward", True),
        ("xswu/HPSv2/HPS_v2.1_compressed.pt", True),
        ("xswu/HPSv2/HPS_v2.1_compressed.pt@697403c78157020a1ae59d23f111aa58ced35b0a", True),
        ("zai-org/ImageReward@refs/pr/1", True),
        ("zai-org/ImageReward@", False),
        ("/a/b", False),
        ("a", False),
    ],
)
def test_an_id_is_an_owner_a_name_and_perhaps_a_file(text, is_id):
    assert hub.is_id(text) is is_id


def test_without_a_network_it_says_which_file_to_put_where(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(CheckpointError, match=r"put HPS_v2\.1\.pt .*https://huggingface\.co/nobody/HPSv2"):
        hub.fetch("nobody/HPSv2/HPS_v2.1.pt")


@pytest.fixture
def unreachable_hub(monkeypatch, tmp_path):
    """A hub that refuses connections, asked without pauses, and an empty cache."""
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)
    return tmp_path


def test_where_connections_fail_it_says_the_same(unreachable_hub):
    with pytest.raises(CheckpointError, match=r"the hub did not give it .*https://huggingface\.co/nobody/x"):
        hub.fetch("nobody/x")


OLD, NEW = "a" * 40, "b" * 40  # commits


@pytest.fixture
def cached(unreachable_hub):
    """A repository of which two commits were fetched before; main is the newer one."""
    kept = unreachable_hub / "models--nobody--x"
    (kept / "refs").mkdir(parents=True)
    (kept / "refs" / "main").write_text(NEW)
    for commit in (OLD, NEW):
        (kept / "snapshots" / commit).mkdir(parents=True)
        (kept / "snapshots" / commit / "config.json").write_text("{}")
    return kept / "snapshots"


def test_where_connections_fail_what_was_fetched_before_is_taken(cached):
    assert hub.fetch("nobody/x") == cached / NEW


def test_a_pinned_id_names_its_commit_whatever_main_is(cached):
    assert hub.fetch(f"nobody/x@{OLD}") == cached / OLD
    assert hub.fetch(f"nobody/x/config.json@{OLD}") == cached / OLD / "config.json"
    with pytest.raises(CheckpointError, match="the hub did not give it"):
        hub.fetch(f"nobody/x@{'c' * 40}")


@pytest.mark.parametrize(
    ("named", "pinned"),
    [
        ("nobody/x", f"nobody/x@{NEW}"),
        ("nobody/x/config.json", f"nobody/x/config.json@{NEW}"),
        (f"nobody/x@{OLD}", f"nobody/x@{OLD}"),
    ],
)
def test_an_id_is_settled_on_the_commit_that_is_fetched(cached, named, pinned):
    assert settle(named) == pinned


def test_a_folder_is_settled_already(tmp_path):
    assert settle(str(tmp_path)) == str(tmp_path)
