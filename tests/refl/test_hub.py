"""Datasets, reward models and LoRAs given away to a hub over its own protocol, and fetched from it again."""

import pytest
from django.core.management import CommandError, call_command

from annotation import stored_files
from annotation.models import Generation
from refl.models import Generator
from rewardmodel.models import DatasetVersion, RewardCheckpoint
from tests.annotation.judged import generators, judge, pictures, said
from tests.hub_server import COMMIT, running
from tests.refl.test_generators import LAYER, save_lora

METRICS = {"accuracy": 0.71, "interval": [0.62, 0.8], "pairs": 120, "prompts": 40, "ceiling": 0.76}


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A hub on this machine in place of Hugging Face's, and an empty cache."""
    with running() as hub:
        monkeypatch.setenv("HF_TOKEN", "hf_secret")
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub.url)  # what HF_ENDPOINT says
        monkeypatch.setattr(
            "huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE",
            hub.url + "/{repo_id}/resolve/{revision}/{filename}",
        )
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_PROGRESS_BARS", True)
        yield hub


@pytest.fixture
def judged(a_project, alice, bob):
    return judge(a_project(opinions_per_prompt=2, review_share=0.0), [alice, bob])


@pytest.mark.parametrize("format", ["pickapic", "labelstudio"])
def test_a_dataset_goes_to_the_hub_and_comes_back_the_same(hub, judged, a_project, format):
    call_command("push_dataset", judged.slug, "ours/foxes", "--licence=cc-by-4.0", f"--format={format}")
    repository = hub.repositories["datasets", "ours/foxes"]
    card = repository["files"]["README.md"].decode()
    assert (repository["private"], card.splitlines()[1]) == (True, "license: cc-by-4.0")
    everything = b"".join(repository["files"].values())
    assert not [name for name in ("alice", "bob", "hf_secret") if name.encode() in everything]
    assert hub.objects  # what is large went over LFS
    elsewhere = a_project()
    call_command("pull_dataset", elsewhere.slug, "ours/foxes@main")
    assert said(elsewhere) == said(judged)
    assert pictures(elsewhere) == pictures(judged)
    assert generators(elsewhere) == generators(judged)


def test_flagged_images_are_not_given_away_unless_that_is_meant(hub, judged, a_project):
    Generation.objects.filter(source="1.png").update(is_flagged=True)
    words = ["push_dataset", judged.slug, "ours/foxes", "--licence=other"]
    with pytest.raises(CommandError, match="3 of its images are flagged: --with-flagged sends them"):
        call_command(*words)
    assert not hub.repositories
    call_command(*words, "--without-images", "--public")
    assert not hub.repositories["datasets", "ours/foxes"]["private"]
    call_command(*words, "--with-flagged", "--public")


def test_a_reward_model_goes_with_a_card_that_says_what_it_is_worth(hub, project, promoted, tmp_path):
    counts = {
        split: {"rankings": 30, "pairs": 90, "prompts": 10} for split in ("train", "validation", "test")
    }
    DatasetVersion.objects.update(counts=counts)
    words = ["push_reward_model", project.slug, promoted.name, "ours/liking", "--licence", "apache-2.0"]
    call_command(*words)
    card = hub.repositories["models", "ours/liking"]["files"]["README.md"].decode()
    assert "Not evaluated." in card
    RewardCheckpoint.objects.filter(pk=promoted.pk).update(metrics=METRICS)
    hub.repositories["models", "ours/liking"]["files"] |= {"old/part.bin": b"of an earlier push"}
    call_command(*words)
    assert project.actions.filter(kind="export.requested", subject=f"{promoted} to ours/liking").count() == 2
    files = hub.repositories["models", "ours/liking"]["files"]
    card = files.pop("README.md").decode()
    assert card.startswith("---\nlicense: apache-2.0\n")
    assert "71.0 % of 120 test pairs of 40 prompts (95 % interval over prompts 62.0 to 80.0 %)" in card
    assert "people reach 76.0 %" in card
    assert "| train | 30 | 90 | 10 |" in card
    folder = promoted.run.folder / "best"
    assert files == {file.name: file.read_bytes() for file in folder.iterdir()}
    call_command("register_reward_model", project.slug, "fetched", "ours/liking")
    fetched = RewardCheckpoint.objects.get(name="fetched")
    assert fetched.folder == f"ours/liking@{COMMIT}"


def test_a_lora_goes_to_the_hub_and_is_registered_from_it(hub, project, pipeline, tmp_path):
    save_lora(tmp_path / "lora.safetensors", LAYER, 16)
    call_command(
        "register_generator", project.slug, "warm", str(pipeline), lora=str(tmp_path / "lora.safetensors")
    )
    call_command("push_lora", project.slug, "warm", "ours/warm", "--licence=openrail++")
    card = hub.repositories["models", "ours/warm"]["files"]["README.md"].decode()
    assert str(tmp_path.parent.parent) not in card
    fetched = ["pull_lora", project.slug, "again", "ours/warm", "--pipeline", str(pipeline)]
    call_command(*fetched, "--to", str(tmp_path / "fetched"))
    again = Generator.objects.get(name="again")
    assert again.loras[0].read_bytes() == (tmp_path / "lora.safetensors").read_bytes()
    with pytest.raises(CommandError, match="is there already"):
        call_command(*fetched, "--to", str(tmp_path / "fetched"))


def test_nothing_is_pushed_into_a_public_repository_unless_that_is_meant(hub, judged):
    hub.repositories["datasets", "ours/foxes"] = {"private": False, "files": {}}
    words = ["push_dataset", judged.slug, "ours/foxes", "--licence=other"]
    with pytest.raises(CommandError, match="ours/foxes: is public already: --public writes to it"):
        call_command(*words)
    assert not hub.repositories["datasets", "ours/foxes"]["files"]
    call_command(*words, "--public")
    assert hub.repositories["datasets", "ours/foxes"]["files"]


@pytest.fixture
def far_away(remote, settings):
    """Files are kept far away, also those of runs."""
    settings.RUNS_DIR = settings.VAR / "runs"


def test_what_lies_in_the_storage_alone_goes_to_the_hub_as_well(
    hub, far_away, project, promoted, pipeline, tmp_path
):
    lora = tmp_path / "lora.safetensors"
    save_lora(lora, LAYER, 16)
    call_command("register_generator", project.slug, "warm", str(pipeline), lora=str(lora))
    files = {file.name: file.read_bytes() for file in [lora, *promoted.run.folder.glob("best/*")]}
    for path in (lora, promoted.run.folder):
        stored_files.store(path)
        stored_files.remove_local(path)
    call_command("push_reward_model", project.slug, promoted.name, "ours/liking", "--licence=other")
    call_command("push_lora", project.slug, "warm", "ours/warm", "--licence=other")
    pushed = [hub.repositories["models", name]["files"] for name in ("ours/liking", "ours/warm")]
    assert pushed[0] | pushed[1] == files | {"README.md": pushed[1]["README.md"]}


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["push_dataset", "project-0", "ours", "--licence=other"], "'ours' is no OWNER/NAME"),
        (["push_dataset", "project-0", "ours/x", "--licence", "My own"], "'My own' is no name of a licence"),
        (["pull_dataset", "project-0", "ours/nothing"], "ours/nothing: the hub did not give it"),
        (["push_lora", "project-0", "small", "ours/x", "--licence=other"], "has 0 LoRAs"),
        (
            ["push_reward_model", "project-0", "far", "ours/x", "--licence=other"],
            "no folder that this machine can",
        ),
    ],
)
def test_what_cannot_be_given_away_or_fetched_is_refused_in_a_line(hub, project, generator, words, why):
    RewardCheckpoint.objects.create(project=project, name="far", folder="somebody/far")
    with pytest.raises(CommandError, match=why):
        call_command(*words)
    assert not hub.repositories
