"""A training run: what it learns, keeps and reports, and that it stops and resumes without a trace."""

import dataclasses
import itertools
import json
import math
import pickle
import re
import subprocess
import sys
import threading
import traceback
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from rewardmodel.learning.config import RewardConfig
from rewardmodel.learning.data.preprocessing import UnreadableImage
from rewardmodel.learning.data.rankings import DatasetError, load_rankings
from rewardmodel.learning.errors import CheckpointError, Interrupted
from rewardmodel.learning.losses import better_than, margins, pair_loss
from rewardmodel.learning.scoring import load_scorer
from rewardmodel.learning.training import Callbacks, TrainingDiverged, train
from tests.rewardmodel.learning.conftest import WORDS

CONFIG = RewardConfig(learning_rate=3e-3, batch_pairs=16, epochs=4, fix_rate=0.4, micro_batch_images=8)


@pytest.fixture
def run(tmp_path, a_dataset, initial):
    """Train into a folder of that name; the reported steps and the result."""
    dataset = a_dataset()

    def start(name="run", config=CONFIG, dataset=dataset, **options):
        seen = []
        result = train(
            config,
            dataset=dataset,
            images=dataset,
            initial=initial,
            folder=tmp_path / name,
            callbacks=Callbacks(on_step=seen.append, **options),
        )
        return seen, result

    return start


def stop_after(steps):
    """should_stop that says yes when asked for the nth time."""
    asked = iter(range(1, steps + 1))
    return lambda: next(asked) == steps


def numbers(seen):
    return [(p.step, p.loss, p.accuracy, p.learning_rate, p.validation_loss) for p in seen]


def test_it_learns_what_people_preferred(run):
    seen, result = run(config=RewardConfig(learning_rate=3e-3, batch_pairs=16, epochs=40, fix_rate=0))
    validated = [p for p in seen if p.validation_loss is not None]
    assert validated[0].validation_accuracy < 0.9 < result.validation.accuracy


def test_it_keeps_the_model_of_the_lowest_validation_loss_and_its_normalisation(run):
    seen, result = run()
    lowest = min((p for p in seen if p.validation_loss is not None), key=lambda p: p.validation_loss)
    assert (result.step, result.validation.loss) == (lowest.step, lowest.validation_loss)
    kept = load_scorer(result.checkpoint)
    assert (kept.config.mean, kept.config.std) == (result.validation.mean, result.validation.std)


def test_the_validation_loss_is_the_pair_loss_of_the_kept_model(run, a_dataset):
    _, result = run()
    model, losses = load_scorer(result.checkpoint), []
    for ranking in load_rankings(a_dataset(), "validation"):
        scores = torch.tensor(model.score(ranking.prompt, ranking.images), dtype=torch.float64)[None]
        places = torch.tensor([ranking.places])
        losses.append(pair_loss(margins(scores * model.config.std)[better_than(places)]))
    assert result.validation.loss == pytest.approx(torch.cat(losses).mean().item(), rel=1e-4)


def test_normalised_scores_of_the_validation_images_have_mean_0_and_deviation_1(run, a_dataset):
    _, result = run()
    rows = [json.loads(line) for line in (a_dataset() / "rankings.jsonl").read_text().splitlines()]
    model = load_scorer(result.checkpoint)
    scores = [
        score
        for row in rows
        if row["split"] == "validation"
        for score in model.score(row["prompt"], [a_dataset() / image for image in row["images"]])
    ]
    assert torch.tensor(scores).mean().item() == pytest.approx(0, abs=1e-4)
    assert torch.tensor(scores).std(correction=0).item() == pytest.approx(1, abs=1e-3)


def test_every_pair_of_every_epoch_is_learned_from_and_each_epoch_ends_validated(run):
    seen, result = run()
    assert [p.step for p in seen] == list(range(1, result.steps + 1))
    assert {p.steps for p in seen} == {result.steps}
    for epoch in range(1, 5):
        own = [p for p in seen if p.epoch == epoch]
        assert own[-1].validation_loss is not None
        assert 1 <= sum(p.validation_loss is not None for p in own) <= CONFIG.validations_per_epoch
    assert seen[0].learning_rate == CONFIG.learning_rate
    assert 0 < seen[-1].learning_rate < 0.1 * CONFIG.learning_rate


@pytest.mark.parametrize("steps", [1, 5])
def test_an_interrupted_run_ends_with_exactly_the_numbers_of_one_never_interrupted(run, steps):
    whole, expected = run("whole")
    with pytest.raises(Interrupted):
        run("broken", should_stop=stop_after(steps))
    rest, result = run("broken")

    assert numbers(rest) == numbers(whole)[steps:]
    assert result.validation == expected.validation
    ours, theirs = (load_file(r.checkpoint / "model.safetensors") for r in (result, expected))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_its_curves_are_in_files_and_an_interruption_leaves_no_trace_in_them(run, tmp_path):
    seen, _ = run("whole")
    with pytest.raises(Interrupted):
        run("broken", should_stop=stop_after(3))
    run("broken")
    curves = json.loads((tmp_path / "whole/curves/curves.json").read_text())
    assert curves["loss"] == [[p.step, p.loss] for p in seen]
    validated = [[p.step, p.validation_loss] for p in seen if p.validation_loss is not None]
    assert curves["validation_loss"] == validated
    again = json.loads((tmp_path / "broken/curves/curves.json").read_text())
    del curves["images_per_second"], again["images_per_second"]  # the clock's
    assert again == curves


def test_a_killed_run_repeats_what_it_had_not_saved(run):
    class Killed(BaseException):
        pass

    def kill():
        raise Killed

    config = RewardConfig(**{**CONFIG.to_dict(), "checkpoint_every": 2})
    whole, expected = run("whole", config)
    asked = iter(range(1, 100))
    with pytest.raises(Killed):
        run("killed", config, should_stop=lambda: next(asked) == 5 and kill())
    rest, result = run("killed", config)

    assert numbers(rest) == numbers(whole)[4:]
    assert result.validation == expected.validation


def test_a_finished_run_started_again_does_nothing_and_gives_the_same(run):
    _, first = run()
    seen, again = run()
    assert seen == []
    assert (again.step, again.validation, again.checkpoint) == (
        first.step,
        first.validation,
        first.checkpoint,
    )


def test_the_same_seed_gives_the_same_run_and_another_seed_another(run):
    first, same = run("first")[0], run("same")[0]
    other = run("other", RewardConfig(**{**CONFIG.to_dict(), "seed": 5}))[0]
    assert numbers(first) == numbers(same)
    assert numbers(first) != numbers(other)


def test_the_callers_own_rng_is_left_alone(run):
    before = torch.get_rng_state()
    run()
    assert torch.equal(torch.get_rng_state(), before)


def test_frozen_weights_stay_as_they_were(run, initial):
    _, result = run()
    before, after = (load_file(folder / "model.safetensors") for folder in (initial, result.checkpoint))
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed <= set(result.trainable.names)
    assert "mlp.layers.0.weight" in changed


def test_the_size_of_micro_batches_changes_no_more_than_rounding(tmp_path, a_dataset, initial):
    still = json.loads((initial / "config.json").read_text())  # dropout off: it draws by micro-batch
    still["backbone"]["vision"]["drop_path"] = 0
    still["backbone"]["text"] |= {"dropout": 0, "attention_dropout": 0}
    still["backbone"]["head"]["dropout"] = [0, 0, 0]
    (initial / "config.json").write_text(json.dumps(still))
    dataset, losses = a_dataset(), []
    for size in (3, 1000):
        seen = []
        train(
            RewardConfig(**{**CONFIG.to_dict(), "micro_batch_images": size, "epochs": 1}),
            dataset=dataset,
            images=dataset,
            initial=initial,
            folder=tmp_path / f"micro-{size}",
            callbacks=Callbacks(on_step=seen.append),
        )
        losses.append([p.loss for p in seen])
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_another_config_does_not_resume_anothers_state(run):
    with pytest.raises(Interrupted):
        run(should_stop=lambda: True)
    with pytest.raises(CheckpointError, match="another config"):
        run(config=RewardConfig(**{**CONFIG.to_dict(), "seed": 5}))


@pytest.mark.parametrize("split", ["train", "validation"])
def test_a_dataset_without_a_pair_to_learn_from_or_to_validate_on_is_refused(run, a_dataset, split):
    with pytest.raises(DatasetError, match=f"no {split} ranking"):
        run(dataset=a_dataset(**{split: 0}))


def test_a_loss_that_is_no_number_stops_the_run_and_names_the_rankings(run, initial):
    weights = load_file(initial / "model.safetensors")
    weights["mlp.layers.0.weight"][:] = 3e38  # finite, but no sum of it is
    save_file(weights, initial / "model.safetensors")
    with pytest.raises(TrainingDiverged, match=r"nan at step 1 of \d+, on the rankings? train-"):
        run()


def test_soft_labels_are_learned_only_when_asked_for(run, a_dataset):
    """Labels of 1/2, which say nothing: each pair is learned in both orders alike."""
    quick = dataclasses.replace(CONFIG, epochs=1)
    hard, _ = run("hard", config=quick)
    dataset = a_dataset(soft=0.5)
    ignored, _ = run("ignored", config=quick, dataset=dataset)
    assert numbers(ignored) == numbers(hard)
    learned, _ = run("learned", config=dataclasses.replace(quick, soft_labels=True), dataset=dataset)
    assert learned[0].loss != hard[0].loss
    assert learned[0].accuracy == hard[0].accuracy


def test_soft_labels_that_a_dataset_lacks_are_refused(run):
    with pytest.raises(DatasetError, match="no soft labels"):
        run(config=dataclasses.replace(CONFIG, soft_labels=True))


def test_a_run_saved_before_a_setting_existed_goes_on(run, tmp_path):
    quick = dataclasses.replace(CONFIG, epochs=1)
    with pytest.raises(Interrupted):
        run(config=quick, should_stop=stop_after(1))
    state = torch.load(tmp_path / "run" / "state.pt", weights_only=True)
    del state["config"]["soft_labels"]
    torch.save(state, tmp_path / "run" / "state.pt")
    seen, _ = run(config=quick)
    assert seen[0].step == 2


def test_a_state_is_saved_under_the_names_that_runs_in_progress_have(run, tmp_path):
    """So that a run which is interrupted by an upgrade goes on after it."""
    with pytest.raises(Interrupted):
        run(config=with_options(ema=0.8), should_stop=stop_after(1))
    state = torch.load(tmp_path / "run" / "state.pt", weights_only=True)
    names = "average best best_step chance config data done model objective optimiser"
    assert sorted(state) == names.split()
    assert sorted(state["average"]) == ["updates", "values"]


def test_a_state_of_an_older_version_and_a_broken_one_are_refused_with_what_to_do(run, tmp_path):
    quick = dataclasses.replace(CONFIG, epochs=1)
    with pytest.raises(Interrupted):
        run(config=quick, should_stop=stop_after(1))
    file = tmp_path / "run" / "state.pt"
    whole = file.read_bytes()
    state = torch.load(file, weights_only=True)
    del state["objective"], state["average"]
    torch.save(state, file)
    with pytest.raises(CheckpointError, match=r"older version, without average, objective; without the file"):
        run(config=quick)
    state["config"]["no_more"] = 1
    torch.save(state, file)
    with pytest.raises(CheckpointError, match=r"state\.pt: no state to resume from \(.*no_more.*\); without"):
        run(config=quick)
    for content in (whole[:200], b"", b"no state", pickle.dumps({"config": Path.cwd}, protocol=2)):
        file.write_bytes(content)
        with pytest.raises(CheckpointError, match=r"state\.pt: no state to resume from") as refusal:
            run(config=quick)
        told = "".join(traceback.format_exception(refusal.value))
        assert "will likely succeed" not in told  # torch's advice to run whatever it is
    file.unlink()
    assert run(config=quick)[0][0].step == 1


def with_options(**fields):
    return dataclasses.replace(CONFIG, **{"epochs": 1, **fields})


@pytest.mark.parametrize(
    "option",
    [{"ties": "learned"}, {"slot_margin": 0.2}],
    ids=lambda option: " ".join(map(str, option.values())),
)
def test_an_option_changes_what_is_learned_and_resumes_without_a_trace(run, option):
    plain, _ = run("plain", with_options())
    whole, expected = run("whole", with_options(**option))
    assert whole[0].loss != plain[0].loss
    assert whole[0].accuracy == plain[0].accuracy
    assert whole[-1].validation_loss != plain[-1].validation_loss

    with pytest.raises(Interrupted):
        run("broken", with_options(**option), should_stop=stop_after(2))
    rest, result = run("broken", with_options(**option))
    assert numbers(rest) == numbers(whole)[2:]
    assert result.validation == expected.validation


def test_the_reported_loss_is_the_mean_over_what_it_sums(run, initial, a_dataset):
    """Where all rewards are equal, each win costs log(2 + nu) and each tie log(2 + nu) - log nu."""
    weights = load_file(initial / "model.safetensors")
    last = max(name for name in weights if name.startswith("mlp.") and name.endswith("weight"))
    weights[last].zero_()
    save_file(weights, initial / "model.safetensors")
    rows = [json.loads(line) for line in (a_dataset() / "rankings.jsonl").read_text().splitlines()]
    pairs = [
        i != j for r in rows if r["split"] == "train" for i, j in itertools.combinations(r["ranking"], 2)
    ]
    wins, ties = sum(pairs), len(pairs) - sum(pairs)
    assert ties > 0
    plain, _ = run("plain", with_options(batch_pairs=1000))
    assert plain[0].loss == pytest.approx(math.log(2))
    tied, _ = run("tied", with_options(batch_pairs=1000, ties="fixed", tie_parameter=0.5))
    assert tied[0].loss == pytest.approx(math.log(2.5) - ties / (wins + ties) * math.log(0.5))
    assert tied[0].accuracy == plain[0].accuracy


def test_a_run_that_ends_however_leaves_no_thread(run):
    before = threading.active_count()
    run("whole", with_options())
    with pytest.raises(Interrupted):
        run("broken", with_options(), should_stop=stop_after(2))
    assert threading.active_count() == before


def test_recomputing_layers_changes_no_number(run):
    plain, _ = run("plain", with_options())
    thrifty, _ = run("thrifty", with_options(recompute=True))
    assert numbers(thrifty) == numbers(plain)


def test_a_learned_tie_parameter_moves_and_a_fixed_one_stays(run, tmp_path):
    found = {}
    for ties in ("fixed", "learned"):
        with pytest.raises(Interrupted):
            run(ties, with_options(ties=ties), should_stop=stop_after(2))
        state = torch.load(tmp_path / ties / "state.pt", weights_only=True)
        found[ties] = state["objective"]["log_tie"].exp().item()
    assert found["fixed"] == pytest.approx(0.5)
    assert found["learned"] != pytest.approx(0.5, rel=1e-3)


@pytest.mark.parametrize("option", [{"ema": 0.8}, {"lora_rank": 2}], ids=lambda option: next(iter(option)))
def test_averages_and_adapters_resume_without_a_trace_and_leave_a_plain_model(run, initial, option):
    whole, expected = run("whole", with_options(**option))
    with pytest.raises(Interrupted):
        run("broken", with_options(**option), should_stop=stop_after(2))
    rest, result = run("broken", with_options(**option))
    assert numbers(rest) == numbers(whole)[2:]
    ours, theirs = (load_file(r.checkpoint / "model.safetensors") for r in (result, expected))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    before = load_file(initial / "model.safetensors")
    assert {name: w.shape for name, w in ours.items()} == {name: w.shape for name, w in before.items()}


def test_adapters_train_few_weights_and_change_those_they_stand_beside(run, initial):
    _, full = run("full", with_options())
    _, thin = run("thin", with_options(lora_rank=2, learning_rate=3e-2))
    assert thin.trainable.trainable < full.trainable.trainable / 2
    before, after = (load_file(folder / "model.safetensors") for folder in (initial, thin.checkpoint))
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert "blip.visual_encoder.blocks.2.attn.qkv.weight" in changed
    assert not any("norm" in name.lower() or "blocks.0." in name for name in changed)


def test_validation_judges_the_average_not_the_last_step(run):
    """Until the first validation both learn the same."""
    (own, _), (averaged, _) = run("own", with_options()), run("averaged", with_options(ema=0.9))
    validated = next(i for i, p in enumerate(own) if p.validation_loss is not None)
    assert [p.loss for p in own[: validated + 1]] == [p.loss for p in averaged[: validated + 1]]
    assert own[validated].validation_loss != averaged[validated].validation_loss


def test_of_several_rankings_only_the_one_whose_reward_is_no_number_is_named(run, initial, a_dataset):
    """A word whose vector no sum can hold, in one prompt alone."""
    weights = load_file(initial / "model.safetensors")
    weights["blip.text_encoder.embeddings.word_embeddings.weight"][WORDS.index("square")] = 3e38
    save_file(weights, initial / "model.safetensors")
    rows = [json.loads(line) for line in (a_dataset() / "rankings.jsonl").read_text().splitlines()]
    for row in rows:
        row["prompt"] = "a blue square" if row["id"] == "train-7" else "a red circle"
    dataset = a_dataset()
    (dataset / "rankings.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    with pytest.raises(TrainingDiverged, match=r"nan at step \d+ of \d+, on the ranking train-7;"):
        run(config=with_options(micro_batch_images=100, batch_pairs=10), dataset=dataset)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_what_was_best_before_a_loss_was_no_number_is_kept(run, tmp_path, initial, a_dataset, precision):
    weights = load_file(initial / "model.safetensors")
    weights["blip.text_encoder.embeddings.word_embeddings.weight"][WORDS.index("square")] = 3e38
    save_file(weights, initial / "model.safetensors")
    dataset = a_dataset()
    rows = [json.loads(line) for line in (dataset / "rankings.jsonl").read_text().splitlines()]
    for row in rows:
        row["prompt"] = "a blue square" if row["id"] == "train-3" else "a red circle"
    (dataset / "rankings.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    config = with_options(batch_pairs=2, validations_per_epoch=100, precision=precision)
    with pytest.raises(TrainingDiverged, match=r"nan at .*ranking train-3; the best model so far is kept"):
        run("diverged", config, dataset=dataset)
    image = next((dataset / "images").iterdir())
    assert torch.isfinite(
        torch.tensor(load_scorer(tmp_path / "diverged" / "best").score("a red circle", image))
    )


def test_a_validation_reward_that_is_no_number_stops_the_run_and_names_the_ranking(run, initial, a_dataset):
    weights = load_file(initial / "model.safetensors")
    weights["blip.text_encoder.embeddings.word_embeddings.weight"][WORDS.index("square")] = 3e38
    save_file(weights, initial / "model.safetensors")
    dataset = a_dataset()
    rows = [json.loads(line) for line in (dataset / "rankings.jsonl").read_text().splitlines()]
    for row in rows:
        row["prompt"] = "a blue square" if row["id"] == "validation-1" else "a red circle"
    (dataset / "rankings.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    with pytest.raises(
        TrainingDiverged, match=r"validation.* at step 1 of \d+, on the ranking validation-1; none"
    ):
        run(config=with_options(micro_batch_images=100, validations_per_epoch=100), dataset=dataset)


FULL_DISK = """
import resource, sys
from pathlib import Path
from rewardmodel.learning.config import RewardConfig
from rewardmodel.learning.training import Callbacks, train
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[4]), resource.RLIM_INFINITY))
dataset, initial, folder = map(Path, sys.argv[1:4])
config = RewardConfig(learning_rate=3e-3, batch_pairs=16, epochs=4, checkpoint_every=1, seed=7)
places = dict(dataset=dataset, images=dataset, initial=initial, folder=folder)
train(config, **places, callbacks=Callbacks(on_step=print))
"""


@pytest.mark.parametrize(("share", "named"), [(0.1, "best"), (0.9, "best"), (1.5, "state.pt")])
def test_a_full_disk_leaves_what_was_saved_before_whole(run, tmp_path, initial, a_dataset, share, named):
    """There is room for so much of the model's weights."""
    config = RewardConfig(learning_rate=3e-3, batch_pairs=16, epochs=4, checkpoint_every=1, seed=7)
    with pytest.raises(Interrupted):
        run("full", config, should_stop=stop_after(5))
    folder = tmp_path / "full"

    def saved():
        files = (file for file in folder.rglob("*") if file.is_file())
        return {file: file.read_bytes() for file in files if "curves" not in file.parts}  # these only grow

    before = saved()
    assert before.keys() >= {folder / "state.pt", folder / "best" / "model.safetensors"}

    room = int(share * (folder / "best" / "model.safetensors").stat().st_size)
    process = subprocess.run(
        [sys.executable, "-c", FULL_DISK, a_dataset(), initial, folder, str(room)],
        capture_output=True,
        text=True,
    )
    assert process.returncode == 1
    message = process.stderr.splitlines()[-1]
    assert re.search(rf"NotSaved: .*{named}: cannot be saved \(.*what was saved there before stays", message)
    after = saved()
    assert after.keys() == before.keys()
    changed = {file.parent.name for file in after if after[file] != before[file]}
    assert changed == (set() if named == "best" else {"best"})  # which is better, and whole
    load_scorer(folder / "best")
    rest, _ = run("full", config)
    whole, _ = run("whole", config)
    assert numbers(rest) == numbers(whole)[5:]


def broken(dataset, *names, content=b""):
    for name in names:
        next((dataset / "images").glob(f"{name}-*")).write_bytes(content)


def test_images_that_cannot_be_read_refuse_the_run_before_it_learns_and_are_named(run, a_dataset):
    dataset = a_dataset()
    broken(dataset, "train-3")
    whole = next((dataset / "images").glob("test-1-*"))
    whole.write_bytes(whole.read_bytes()[:60])
    steps, refusing = [], with_options(unreadable_images="refuse")
    with pytest.raises(
        UnreadableImage, match=r"2 of \d+ images .*train-3-\d\.png: the file is empty.*test-1"
    ):
        run(config=refusing, dataset=dataset, on_start=steps.append)
    assert steps == []


def test_images_put_right_are_read_by_the_same_run_started_again(run, a_dataset):
    dataset = a_dataset()
    file = next((dataset / "images").glob("train-3-*"))
    whole = file.read_bytes()
    file.write_bytes(b"")
    refusing = with_options(unreadable_images="refuse")
    for _ in range(2):
        with pytest.raises(UnreadableImage, match=file.name):
            run(config=refusing, dataset=dataset)
    file.write_bytes(whole)
    starts = []
    run(config=refusing, dataset=dataset, on_start=starts.append)
    assert starts[0].images.unreadable == {}


def test_more_unreadable_images_than_may_be_dropped_refuse_the_run(run, a_dataset):
    dataset = a_dataset()
    broken(dataset, "train-3", "train-4")
    with pytest.raises(
        UnreadableImage, match=r"^2 of \d+ images cannot be read: .*most_unreadable above 0\.01"
    ):
        run(config=with_options(most_unreadable=0.01), dataset=dataset)


def test_rankings_with_a_broken_image_are_dropped_and_counted(run, a_dataset):
    dataset = a_dataset()
    broken(dataset, "train-3", "validation-1", content=b"no image")
    starts, checked = [], []
    drop = with_options()
    seen, _ = run(
        config=drop, dataset=dataset, on_start=starts.append, on_checked=lambda *n: checked.append(n)
    )
    [start] = starts
    assert start.images.dropped == {"train": 1, "validation": 1, "test": 0}
    assert {file.rpartition("/")[2][:7] for file in start.images.unreadable} == {"train-3", "validat"}
    assert checked[-1] == (start.images.images, start.images.images)

    rows = [json.loads(line) for line in (dataset / "rankings.jsonl").read_text().splitlines()]
    kept = [row for row in rows if row["id"] not in ("train-3", "validation-1")]
    (dataset / "rankings.jsonl").write_text("\n".join(map(json.dumps, kept)))
    without, _ = run("without", config=drop, dataset=dataset)
    assert numbers(seen) == numbers(without)


def test_a_resumed_run_does_not_look_at_all_images_again(run, a_dataset):
    dataset, checked = a_dataset(), []
    broken(dataset, "train-3")
    drop = with_options()
    with pytest.raises(Interrupted):
        run(config=drop, dataset=dataset, should_stop=stop_after(2))
    starts = []
    run(config=drop, dataset=dataset, on_start=starts.append, on_checked=lambda *n: checked.append(n))
    assert checked == []
    assert starts[0].images.dropped["train"] == 1
