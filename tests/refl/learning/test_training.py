"""A tuning: what it leaves behind, how it goes on after an interruption, and what it refuses."""

import dataclasses
import json
import shutil
from collections import Counter

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from PIL import Image
from safetensors.torch import load_file

from refl.learning.chance import indices_at
from refl.learning.config import METHODS, WEIGHTS, MethodEntry, TuningConfig
from refl.learning.families.loading import load_family
from refl.learning.families.stable_diffusion import StableDiffusion
from refl.learning.methods import Method
from refl.learning.pairs import BadPairs
from refl.learning.prompts import BadPrompts
from refl.learning.rewards import BadReward
from refl.learning.run_folder import AnotherRun
from refl.learning.sampling import sample
from refl.learning.training import NoPrompts, tune
from refl.learning.weights import AllWeights
from rewardmodel.learning.errors import Interrupted
from tests.refl.learning.conftest import COLOURS

CAPTIONS = [f"a {colour} page" for colour in COLOURS]
PROMPTS = ["a red page", "a green page", "a blue page", "a white page", "a page"]
CONFIG = TuningConfig(
    steps=4,
    late_steps=(1, 2),
    reward_weight=0.1,
    updates=6,
    batch_size=2,
    learning_rate=1e-3,
    ema=0.5,
    checkpoint_every=2,
    sample_every=3,
    sample_prompts=3,
    sample_steps=2,
    sample_guidance=2.0,
    guard_every=0,
)


def redness(prompts, images):
    return (images[:, 0] - images[:, 1:].mean(1)).mean((1, 2))


class Run:
    """A call of `tune` with everything in its place, and what it reported."""

    def __init__(self, folder, pipeline, pairs):
        self.folder, self.reports = folder, []
        self.asked = {"pipeline": pipeline, "pretraining": pairs, "device": "cpu"}

    def __call__(self, config=CONFIG, *, stop_after=None, crash_after=None, **changes):
        def on_step(progress):
            if progress.step == crash_after:
                raise MemoryError
            self.reports.append(progress)

        asked = {"reward": redness, "prompts": PROMPTS, **self.asked, **changes}
        return tune(
            config,
            folder=self.folder,
            on_step=on_step,
            should_stop=lambda: self.reports[-1].step == stop_after,
            **asked,
        )

    def numbers(self):
        return [dataclasses.replace(report, seconds=0.0) for report in self.reports]


@pytest.fixture
def a_run(tmp_path, pipeline_folder, pairs_folder):
    return lambda name="run": Run(tmp_path / name, pipeline_folder, pairs_folder)


def weights(pipeline_folder):
    return load_file(pipeline_folder / "unet" / "diffusion_pytorch_model.safetensors")


def equal(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_a_run_reports_every_update_and_leaves_a_pipeline_that_diffusers_loads(a_run, pipeline_folder):
    run = a_run()
    start = weights(pipeline_folder)
    result = run()
    assert result == run.folder / "pipeline"
    assert [(report.step, report.steps) for report in run.reports] == [(step, 6) for step in range(1, 7)]
    for report in run.reports:
        measured = report.measures
        assert min(measured["reward_gradient"], measured["pretraining_gradient"], report.seconds) > 0
        assert min(measured["reward_loss"], measured["pretraining_loss"]) > 0
    loaded = StableDiffusionPipeline.from_pretrained(result, safety_checker=None, local_files_only=True)
    assert loaded.scheduler.config == load_family(pipeline_folder, "cpu").pipeline.scheduler.config
    assert not equal(weights(result), start)
    assert equal(weights(pipeline_folder), start)
    assert not (run.folder / "checkpoint.pt").exists()


def test_samples_before_and_after_come_from_the_same_prompts_and_seeds(a_run, pipeline_folder):
    run = a_run()
    result = run()
    sheets = sorted(path.name for path in (run.folder / "samples").iterdir())
    assert sheets == ["step-000000.png", "step-000003.png", "step-000006.png"]
    for name, folder in ((sheets[0], pipeline_folder), (sheets[2], result)):
        shown = np.asarray(Image.open(run.folder / "samples" / name)).astype(int)
        images = sample(
            load_family(folder, "cpu"), PROMPTS[:3], [0, 1, 2], steps=2, guidance_scale=2.0, batch_size=3
        )
        for column, image in enumerate(images):
            assert abs(shown[:16, 18 * column : 18 * column + 16] - np.asarray(image)).max() <= 1


@pytest.mark.parametrize("sampler", ["ddim", "ddpm"])
def test_an_interrupted_run_ends_with_the_numbers_of_one_never_interrupted(a_run, sampler):
    config = dataclasses.replace(CONFIG, sampler=sampler)
    whole, broken = a_run("whole"), a_run("broken")
    whole(config)
    with pytest.raises(Interrupted, match="after 3 of 6"):
        broken(config, stop_after=3)
    assert not (broken.folder / "pipeline").exists()
    broken(config)
    assert broken.numbers() == whole.numbers()
    assert equal(weights(broken.folder / "pipeline"), weights(whole.folder / "pipeline"))


def test_a_run_that_died_goes_on_from_its_last_checkpoint(a_run):
    whole, broken = a_run("whole"), a_run("broken")
    whole()
    with pytest.raises(MemoryError):
        broken(crash_after=6)
    (broken.folder / ".checkpoint.pt.new").write_bytes(b"half of a later one")
    (broken.folder / ".pipeline.new").mkdir()
    broken()
    assert not list(broken.folder.glob(".*"))
    assert [report.step for report in broken.reports] == [1, 2, 3, 4, 5, 5, 6]
    assert broken.numbers()[-2:] == whole.numbers()[-2:]
    assert equal(weights(broken.folder / "pipeline"), weights(whole.folder / "pipeline"))


def test_a_finished_run_is_not_run_again(a_run):
    run = a_run()
    assert run() == run()
    assert len(run.reports) == 6


def test_a_folder_that_holds_a_run_with_other_settings_is_refused(a_run):
    run = a_run()
    with pytest.raises(Interrupted):
        run(stop_after=1)
    assert TuningConfig(**json.loads((run.folder / "config.json").read_text())) == CONFIG
    with pytest.raises(AnotherRun):
        run(dataclasses.replace(CONFIG, seed=1))


def test_another_seed_gives_another_generator(a_run):
    first, other = a_run("first")(), a_run("other")(dataclasses.replace(CONFIG, seed=1))
    assert not equal(weights(first), weights(other))


@pytest.mark.parametrize(
    ("weight", "left_out"),
    [
        ("reward_weight", {"reward", "reward_loss", "reward_gradient"}),
        ("pretraining_weight", {"pretraining_loss", "pretraining_gradient"}),
    ],
)
def test_an_update_of_weight_0_is_left_out(a_run, pipeline_folder, weight, left_out):
    run = a_run()
    result = run(dataclasses.replace(CONFIG, updates=2, **{weight: 0.0}))
    for report in run.reports:
        assert {name for name, value in report.measures.items() if value is None} == left_out
    assert not equal(weights(result), weights(pipeline_folder))


def test_a_run_without_prompts_is_refused_before_it_begins(a_run):
    run = a_run()
    with pytest.raises(NoPrompts):
        run(prompts=[])
    assert not run.folder.exists()


def test_a_run_with_an_empty_prompt_is_refused_before_it_begins(a_run):
    run = a_run()
    with pytest.raises(BadPrompts, match="prompt 2 of 2 is empty"):
        run(prompts=["a red page", " "])
    assert not run.folder.exists()


def test_a_run_with_a_broken_image_is_refused_before_it_begins(a_run, pairs_folder, tmp_path):
    run, folder = a_run(), shutil.copytree(pairs_folder, tmp_path / "broken")
    (folder / "blue.png").write_bytes((folder / "blue.png").read_bytes()[:60])
    with pytest.raises(BadPairs, match=r"pairs\.jsonl, row 3: .*blue\.png: not a whole image"):
        run(pretraining=folder)
    assert not run.folder.exists()


def test_a_run_says_how_many_of_its_prompts_are_cut_off(a_run, caplog):
    a_run()(dataclasses.replace(CONFIG, updates=1), prompts=["a red page", "a page " * 10])
    assert (
        "1 of 2 prompts are longer than the 16 tokens that the generator's text_encoder reads" in caplog.text
    )


def test_a_run_without_pretraining_pairs_is_refused_before_it_begins(a_run, tmp_path):
    run = a_run()
    with pytest.raises(BadPairs, match=r"pairs\.jsonl"):
        run(pretraining=tmp_path / "nowhere")
    assert not run.folder.exists()


def test_a_reward_that_is_not_a_number_stops_the_run_at_once(a_run):
    run = a_run()
    with pytest.raises(BadReward, match="not finite"):
        run(reward=lambda prompts, images: redness(prompts, images) * float("nan"))
    assert run.reports == []


def test_every_example_comes_once_in_a_pass_and_passes_differ():
    stream = [index for step in range(10) for index in indices_at(step, count=5, size=3, key=(0, 0))]
    passes = [stream[start : start + 5] for start in range(0, 30, 5)]
    assert all(sorted(one) == [0, 1, 2, 3, 4] for one in passes)
    assert len({tuple(one) for one in passes}) > 1
    assert indices_at(3, count=5, size=3, key=(0, 0)) != indices_at(3, count=5, size=3, key=(1, 0))


def test_a_batch_larger_than_what_there_is_goes_on_into_the_next_pass():
    assert sorted(indices_at(0, count=2, size=4, key=(0, 0))) == [0, 0, 1, 1]


class Shrink(Method):
    """A method of one line: it pulls all weights towards 0, whatever the reward."""

    def __init__(self, tuner, reward):
        self.tuner = tuner

    def update(self, batch, rng):
        size = sum(weight.square().sum() for weight in self.tuner.weights.parameters)
        size.backward()
        return {"size": size.item(), "prompts": len(batch.prompts), "gradient": self.tuner.step()}


def test_a_method_that_is_registered_is_tuned_with_and_reports_its_own_measures(a_run, monkeypatch):
    entry = MethodEntry(lambda config: "Shrink", f"{__name__}:Shrink", needs=lambda config: {"prompts"})
    monkeypatch.setitem(METHODS, "shrink", entry)
    run = a_run()
    run(dataclasses.replace(CONFIG, method="shrink"))
    assert json.loads((run.folder / "config.json").read_text())["method"] == "shrink"
    assert {tuple(report.measures) for report in run.reports} == {("size", "prompts", "gradient")}
    sizes = [report.measures["size"] for report in run.reports]
    assert sizes == sorted(sizes, reverse=True)


def test_a_registered_method_that_is_not_there_is_refused_before_the_run_begins(a_run, monkeypatch):
    entry = MethodEntry(lambda config: "Schrink", f"{__name__}:Schrink", needs=lambda config: {"prompts"})
    monkeypatch.setitem(METHODS, "shrink", entry)
    run = a_run()
    with pytest.raises(AttributeError, match="Schrink"):
        run(dataclasses.replace(CONFIG, stages=({}, {"method": "shrink"})))
    assert not run.folder.exists()


RAFT = {"method": "selected", "selection": "raft", "candidates": 2, "updates": 2}


@pytest.mark.parametrize("stages", [(RAFT,), (RAFT, {"updates": 1})])
def test_raft_needs_no_folder_of_pairs_nor_what_learns_from_its_samples(a_run, stages):
    run = a_run()
    run(dataclasses.replace(CONFIG, stages=stages), pretraining=None)
    assert all(report.measures["pretraining_loss"] > 0 for report in run.reports)


def test_pairs_are_learned_from_without_prompts_where_only_they_are_needed(a_run):
    run = a_run()
    run(dataclasses.replace(CONFIG, method="selected", updates=1, guard_every=1), prompts=[])
    assert [report.step for report in run.reports] == [0, 1]


class Biases(AllWeights):
    """A choice of weights: the biases alone."""

    def __init__(self, family, config):
        super().__init__(family, config)
        named = family.denoiser.requires_grad_(False).named_parameters()
        self.parameters = [weight.requires_grad_() for name, weight in named if name.endswith("bias")]


def test_a_choice_of_weights_that_is_registered_alone_trains_also_over_an_interruption(
    a_run, pipeline_folder, monkeypatch
):
    monkeypatch.setitem(WEIGHTS, "biases", f"{__name__}:Biases")
    config = dataclasses.replace(CONFIG, weights="biases")
    whole, broken = a_run("whole"), a_run("broken")
    before, after = weights(pipeline_folder), weights(whole(config))
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved
    assert all(name.endswith("bias") for name in moved)
    with pytest.raises(Interrupted):
        broken(config, stop_after=3)
    assert equal(weights(broken(config)), after)


def test_a_checkpoint_has_the_keys_of_those_that_interrupted_runs_stored_before(a_run):
    run = a_run()
    with pytest.raises(Interrupted):
        run(stop_after=2)
    state = torch.load(run.folder / "checkpoint.pt", weights_only=True)
    assert (set(state), set(state["tuner"])) == (
        {"stage", "step", "updates", "tuner"},
        {"unet", "optimizer", "average", "loss_scale"},
    )
    assert isinstance(state["tuner"]["average"], list)
    assert not {"method", "weights"} & set(json.loads((run.folder / "config.json").read_text()))


TWO_STAGES = dataclasses.replace(
    CONFIG,
    sample_prompts=1,
    sample_every=0,
    stages=({"updates": 3, "reward_weight": 0.0}, {"method": "refl", "updates": 4, "learning_rate": 2e-3}),
)


def test_a_run_of_stages_tunes_in_each_as_it_says_and_counts_over_all(a_run):
    run = a_run()
    run(TWO_STAGES)
    assert [(each.stage, each.step, each.steps) for each in run.reports] == [
        *((1, step, 7) for step in (1, 2, 3)),
        *((2, step, 7) for step in (4, 5, 6, 7)),
    ]
    assert [each.measures["reward"] is None for each in run.reports] == [True] * 3 + [False] * 4
    assert [each.learning_rate for each in run.reports] == [1e-3] * 3 + [2e-3] * 4
    assert not list(run.folder.glob("stage-*"))


@pytest.mark.parametrize("after", [3, 5])
def test_a_run_interrupted_within_any_stage_ends_with_the_numbers_of_one_never_interrupted(a_run, after):
    whole, broken = a_run("whole"), a_run("broken")
    whole(TWO_STAGES)
    with pytest.raises(Interrupted, match=f"after {after} of 7"):
        broken(TWO_STAGES, stop_after=after)
    broken(TWO_STAGES)
    assert broken.numbers() == whole.numbers()
    assert equal(weights(broken.folder / "pipeline"), weights(whole.folder / "pipeline"))


def test_a_stage_begins_from_the_average_of_the_one_before_as_a_run_of_its_own_would(a_run):
    """The first update of a second stage moves what the first stage saved, by an optimizer without a past."""
    first, both = a_run("first"), a_run("both")
    result = first(dataclasses.replace(CONFIG, updates=3, reward_weight=0.0))
    both(dataclasses.replace(CONFIG, reward_weight=0.0, stages=({"updates": 3}, {"updates": 1})))
    start, end = weights(result), weights(both.folder / "pipeline")
    moved = max((end[name] - start[name]).abs().max() for name in start)
    rate, decay = CONFIG.learning_rate, 2 / 11  # of Adam's first step; of the average's, with warm-up
    assert 0 < moved <= (1 - decay) * rate * 1.02


class Chosen(Method):
    """A method that keeps one pair, and says what it was given."""

    given = []

    def __init__(self, tuner, reward):
        self.tuner = tuner

    def prepare(self, materials, folder):
        weight = self.tuner.weights.parameters[0]
        self.given.append((len(materials.pairs), folder.name, weight.flatten()[0].item()))
        return dataclasses.replace(materials, pairs=materials.pairs[:-1])

    def update(self, batch, rng):
        assert len(rng) == len(batch.pairs) == 2
        with torch.no_grad():
            self.tuner.weights.parameters[0].add_(1)
        return {"pairs": len({pair.file for pair in batch.pairs})}


@pytest.mark.parametrize(("ema", "moved"), [(0.0, 3.0), (0.5, 372 / 143)])
def test_a_stage_is_prepared_with_what_the_one_before_chose_and_the_weights_it_starts_from(
    a_run, monkeypatch, ema, moved
):
    entry = MethodEntry(lambda config: "Chosen", f"{__name__}:Chosen", needs=lambda config: {"pairs"})
    monkeypatch.setitem(METHODS, "chosen", entry)
    monkeypatch.setattr(Chosen, "given", [])
    config = dataclasses.replace(CONFIG, ema=ema, stages=({"method": "chosen", "updates": 3},) * 2)
    run = a_run()
    with pytest.raises(Interrupted):
        run(config, stop_after=5)
    run(config)
    (pairs, name, start), second, again = Chosen.given
    assert (pairs, name) == (4, "stage-1")
    assert second == again == (3, "stage-2", pytest.approx(start + moved))


def test_the_text_encoder_is_asked_once_for_each_prompt(a_run, monkeypatch):
    asked = []
    encode = StableDiffusion.encode_prompts
    monkeypatch.setattr(
        StableDiffusion,
        "encode_prompts",
        lambda family, prompts: asked.extend(prompts) or encode(family, prompts),
    )
    config = dataclasses.replace(CONFIG, updates=8, empty_prompts=0.5, guidance_scale=2.0)
    a_run()(config)
    assert Counter(asked) == {**dict.fromkeys(PROMPTS + CAPTIONS, 1), "": 2}  # left out, and for guidance


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"prompts": PROMPTS[1:]}, "prompts"),
        ({"pipeline": "v_prediction"}, "base pipeline"),
        ({"pretraining": "other"}, "pre-training pairs"),
        ({"reward": lambda prompts, images: redness(prompts, images)}, "reward"),
    ],
)
def test_a_folder_goes_on_with_what_it_began_with_and_says_what_is_another(
    a_run, pipeline_folders, pairs_folder, tmp_path, changes, named
):
    run = a_run()
    with pytest.raises(Interrupted):
        run(stop_after=1)
    if "pipeline" in changes:
        changes = {"pipeline": pipeline_folders["v_prediction"]}
    if "pretraining" in changes:
        other = shutil.copytree(pairs_folder, tmp_path / "other")
        (other / "pairs.jsonl").write_text((other / "pairs.jsonl").read_text().replace("a red page", "red"))
        changes = {"pretraining": other}
    with pytest.raises(AnotherRun, match=f"another {named}: "):
        run(**changes)
    assert len(run.reports) == 1


def test_the_same_pipeline_and_pairs_elsewhere_are_the_same_run(
    a_run, pipeline_folder, pairs_folder, tmp_path
):
    run = a_run()
    with pytest.raises(Interrupted):
        run(stop_after=5)
    run(
        pipeline=shutil.copytree(pipeline_folder, tmp_path / "moved"),
        pretraining=shutil.copytree(pairs_folder, tmp_path / "pairs"),
    )
    assert len(run.reports) == 6
