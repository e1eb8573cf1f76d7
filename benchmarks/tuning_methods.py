"""Every method of tuning side by side: what each gains over the generator it starts from, in one table.

    .venv/bin/python -m benchmarks.tuning_methods --folder var/tuning_methods [--only refl] [--seeds 0 1 2]

In the small world: the reward model learns from `--lists` simulated rankings, each setting tunes the
generator of `--weights` on captions kept for that, and other captions, which nothing was trained on, judge
it. A change is over the base, on the same captions and seeds, with its 95 % interval over captions; of
several training seeds the mean. What is done is not done again, so that settings and seeds may be spread over
processes that share a folder; `--table` only prints what there is. `--own FILE` compares on your generator:

    {"generator": "folder", "pairs": "folder", "prompts": "tuning.txt", "captions": "held_out.txt",
     "rewards": {"model": "checkpoint", "independent": "checkpoint"}, "preferences": "dataset version",
     "images": "folder of its images", "config": {"sample_steps": 50}}
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from time import process_time
from typing import TYPE_CHECKING, Any

from PIL import Image
from tqdm import tqdm

from benchmarks.rankings_needed import (
    PEOPLE,
    ROOT,
    Task,
    all_tasks,
    draw_pictures,
    ranked,
    read,
    run_folder,
    train_on,
    write_dataset,
)
from benchmarks.tuning_table import compare, table
from demo.settings import FILTER, HASTY_STEPS, REFL_CONFIG, REWARD_CONFIG, THEN_DRAFT
from demo.world.annotators import Annotator, blind_votes
from demo.world.captions import Split, draw_captions
from demo.world.oracle import judge_groups
from refl.learning.config import TuningConfig
from refl.seeds import seeds_of

if TYPE_CHECKING:
    from refl.learning.families import Family
    from refl.learning.looks import Look
    from refl.learning.pairs import Preference
    from refl.learning.rewards import Reward

DRAFT = {**THEN_DRAFT, "updates": 60}
RAFT = {**FILTER, "selection": "raft", "candidates": 8, "updates": 300}
# Fields that differ from REFL_CONFIG; "reward" names the checkpoint that is tuned on, "rewards" a mixture of
# checkpoints and their heads, "prompts" is how many. Guards are off unless a setting has `guard_every`.
SETTINGS: dict[str, dict[str, Any]] = {
    "control": {**FILTER, "keep_share": 1.0},
    "refl": {},
    "draft": DRAFT,
    "draft, matching": {**DRAFT, "reward": "matching"},
    "filter": FILTER,
    "filter, matching": {**FILTER, "reward": "matching"},
    "weighted": {**FILTER, "selection": "weighted"},
    "raft": {**RAFT, "prompts": 300},
    "dpo": {"method": "dpo", "beta": 2000.0, "updates": 150, "batch_size": 8},
    "nft": {"method": "nft", "updates": 100},
    "filter, then draft": {"stages": [FILTER, THEN_DRAFT]},
}
# Of the small world: tuned on, of another seed, before rankings.
REWARDS = ("model", "independent", "matching")
HEAD = "fidelity"  # beside the reward, of the models that learn from rankings
PARTS = ("score", "alignment", "taste", "cleanliness")
EACH = 2  # pictures of a caption
TUNING_CAPTIONS = 1000


@dataclass(frozen=True)
class Inputs:
    """What all settings share.

    Attributes:
        prompts, captions: to tune on, and to judge by.
        rewards: checkpoints by name.
        has_oracle: the captions are of the small world.
    """

    generator: Path
    pairs: Path
    prompts: list[str]
    captions: list[str]
    rewards: dict[str, Path]
    preferences: list[Preference]
    config: TuningConfig
    has_oracle: bool

    @property
    def held_out(self) -> list[str]:
        """What guards may look at: a reward of another seed, and a head for flaws."""
        return ["independent", *([f"model:{HEAD}"] if self.has_oracle else [])]

    @property
    def tasks(self) -> list[Task]:
        """The pictures that judge a generator."""
        return [
            Task(number, "held out", caption, tuple(seeds_of(caption, EACH)))
            for number, caption in enumerate(self.captions)
        ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, required=True, help="all that is made goes there, and stays")
    parser.add_argument("--only", nargs="+", metavar="SETTING", help="default: all settings")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--settings", type=Path, help="JSON of other settings, as SETTINGS has them")
    parser.add_argument("--weights", type=Path, default=ROOT / "demo/weights", help="of the small world")
    parser.add_argument("--lists", type=int, default=300, help="rankings that the reward model learns from")
    parser.add_argument("--pairs", type=int, default=8000)
    parser.add_argument("--captions", type=int, default=220, help="that judge")
    parser.add_argument(
        "--choosing", action="store_true", help="judge by captions for choosing settings, not for reporting"
    )
    parser.add_argument("--own", type=Path, help="JSON of your own generator's inputs; see above")
    parser.add_argument("--table", action="store_true", help="only print what there is")
    asked = parser.parse_args()
    settings = SETTINGS | (json.loads(asked.settings.read_text()) if asked.settings else {})
    if unknown := [name for name in asked.only or () if name not in settings]:
        parser.error(f"no setting {', '.join(unknown)}; there are {', '.join(settings)}")
    inputs = own_inputs(asked.own) if asked.own else small_world(asked)
    judged = asked.folder / ("choosing" if asked.choosing else "judged")
    if not asked.table:
        judge_pictures("base", inputs.generator, inputs, judged)
        for name in asked.only or settings:
            for seed in asked.seeds:
                run = f"{name}-{seed}".replace(", ", "-").replace(" ", "-")
                folder = asked.folder / "tuned" / run
                tune_with({**settings[name], "seed": seed}, inputs, folder)
                judge_pictures(run, folder / "pipeline", inputs, judged, setting=name)
    rows = compare(judged)
    (judged / "table.json").write_text(json.dumps(rows, indent=2))
    print("\n".join(table(rows)))


def small_world(asked: argparse.Namespace) -> Inputs:
    """Draw pairs and lists, and train the reward models, where that is not done yet."""
    from demo.pretraining.generator import pretraining_pairs
    from refl.learning.pairs import preferences_of
    from rewardmodel.learning.data.rankings import load_rankings

    generator, encoder = asked.weights / "generator", asked.weights / "encoder"
    lists, pairs = asked.folder / "lists", asked.folder / f"pairs-{asked.pairs}"
    lists.mkdir(parents=True, exist_ok=True)
    check_unchanged(generator, asked.folder / "generator.sha256")
    if not (pairs / "pairs.jsonl").is_file():
        pretraining_pairs(pairs, asked.pairs, Random(0))
    tasks = [task for task in all_tasks(asked.lists) if task.split != "test"]
    # As the first images of the demo are, half of them hastily.
    draw_pictures(tasks, lists, generator=generator, which=slice(0, None, 2))
    draw_pictures(tasks, lists, generator=generator, which=slice(1, None, 2), steps=HASTY_STEPS)
    if not (dataset := lists / f"dataset-{asked.lists}").is_dir():
        write_dataset(ranked(tasks, lists), dataset, asked.lists)
    seeds = (REWARD_CONFIG.seed, REWARD_CONFIG.seed + 1)
    for seed in seeds:
        train_on(lists, asked.lists, initial=encoder, seed=seed, aspects=(HEAD,))
    models = [run_folder(lists, asked.lists, seed) / "best" for seed in seeds]
    chosen_by = draw_captions(Split.TUNING, TUNING_CAPTIONS + asked.captions, Random(0))
    Random(0).shuffle(chosen_by)  # they come with the rare kinds first
    reported = draw_captions(Split.EVALUATION, asked.captions, Random(0))
    return Inputs(
        generator=generator,
        pairs=pairs,
        prompts=chosen_by[:TUNING_CAPTIONS],
        captions=chosen_by[TUNING_CAPTIONS:] if asked.choosing else reported,
        rewards=dict(zip(REWARDS, [*models, encoder], strict=True)),
        preferences=preferences_of(load_rankings(dataset, "train", lists)),
        config=REFL_CONFIG,
        has_oracle=True,
    )


def own_inputs(file: Path) -> Inputs:
    from refl.learning.pairs import preferences_of
    from rewardmodel.learning.data.rankings import load_rankings

    named = json.loads(file.read_text())
    lines = {name: Path(named[name]).read_text().splitlines() for name in ("prompts", "captions")}
    dataset, images = named.get("preferences"), named.get("images")
    return Inputs(
        generator=Path(named["generator"]),
        pairs=Path(named["pairs"]),
        rewards={name: Path(path) for name, path in named["rewards"].items()},
        preferences=preferences_of(load_rankings(Path(dataset), "train", images and Path(images)))
        if dataset
        else [],
        config=TuningConfig(**named.get("config", {})),
        has_oracle=False,
        **{name: [line for line in text if line.strip()] for name, text in lines.items()},
    )


def check_unchanged(generator: Path, stored: Path) -> None:
    """Stop where the folder was begun with another generator: its lists and models would not fit."""
    [weights] = (generator / "unet").glob("*.safetensors")
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    if stored.is_file() and stored.read_text() != digest:
        raise SystemExit(
            f"{stored.parent} was begun with another generator than {generator}: take another folder"
        )
    stored.write_text(digest)


def tune_with(
    setting: dict[str, Any],
    inputs: Inputs,
    folder: Path,
    on_look: Callable[[Look, Family], None] = lambda look, family: None,
) -> TuningConfig:
    """Tune, or go on where it was stopped. Returns: the configuration.

    The guards, where the setting has some, look at prompts that are not tuned on.
    """
    from refl.learning.rewards import Mixture, Part
    from refl.learning.training import Progress, tune

    fields = {name: value for name, value in setting.items() if name not in ("reward", "prompts")}
    config = dataclasses.replace(inputs.config, **{"guard_every": 0, **fields})
    tuned_on = config.rewards or {setting.get("reward", "model"): 1.0}
    reward = Mixture([Part(name, reward_of(name, inputs), weight) for name, weight in tuned_on.items()])
    watched = config.guard_prompts if config.guard_every else 0
    began = process_time()
    with tqdm(desc=folder.name, unit="update") as bar:

        def on_step(progress: Progress) -> None:
            bar.total = progress.steps
            bar.update(progress.step - bar.n)

        tune(
            config,
            pipeline=inputs.generator,
            reward=reward,
            prompts=inputs.prompts[watched:][: setting.get("prompts")],
            pretraining=inputs.pairs,
            preferences=inputs.preferences,
            held_out_rewards={
                name: reward_of(name, inputs) for name in inputs.held_out if name not in tuned_on
            },
            guard_prompts=inputs.prompts[:watched],
            folder=folder,
            on_step=on_step,
            on_look=on_look,
            should_stop=lambda: False,
        )
    if not (folder / "seconds.json").is_file():
        (folder / "seconds.json").write_text(json.dumps(process_time() - began))
    return config


def reward_of(name: str, inputs: Inputs) -> Reward:
    """A checkpoint's reward, or as NAME:HEAD what a head of it says; normalised as the checkpoint knows."""
    from rewardmodel.learning.scoring import load_scorer

    checkpoint, _, head = name.partition(":")
    scorer = load_scorer(inputs.rewards[checkpoint])
    return partial(scorer.score_aspect, head) if head else scorer.score_tensor


def judge_pictures(run: str, pipeline: Path, inputs: Inputs, judged: Path, setting: str = "") -> None:
    """Draw the captions' pictures and measure them; a list of the pictures' figures for each caption."""
    from refl.learning.figures import diversity_of_pictures

    file, config = judged / f"{run}.json", inputs.config
    if file.is_file():
        return
    sampled = {"steps": config.sample_steps, "guidance_scale": config.sample_guidance}
    draw_pictures(inputs.tasks, judged / run, generator=pipeline, **sampled)
    groups = list(pictures(inputs.tasks, judged / run))
    figures: dict[str, Any] = {"diversity": [[value] for value in diversity_of_pictures(groups)]}
    for name, checkpoint in inputs.rewards.items():
        figures[f"reward: {name}"] = rewards_of(checkpoint, inputs.captions, groups)
    if inputs.has_oracle:
        verdicts = judge_groups(inputs.captions, groups)
        figures |= {part: [[getattr(v, part) for v in group] for group in verdicts] for part in PARTS}
        if setting:
            base = judge_groups(inputs.captions, pictures(inputs.tasks, judged / "base"))
            annotators = [Annotator.drawn(seed) for seed in range(PEOPLE)]
            figures["blind"] = blind_votes(base, verdicts, annotators, Random(0))
    seconds = pipeline.parent / "seconds.json"
    about = {"setting": setting, "seconds": json.loads(seconds.read_text()) if setting else 0.0}
    file.write_text(json.dumps({**about, "figures": figures}))


def pictures(tasks: Sequence[Task], folder: Path) -> Iterator[list[Image.Image]]:
    return ([read(folder / file) for file in task.files] for task in tasks)


def rewards_of(checkpoint: Path, captions: list[str], groups: list[list[Image.Image]]) -> list[list[float]]:
    from rewardmodel.learning.scoring import load_scorer

    return load_scorer(checkpoint).score_groups(captions, groups)


if __name__ == "__main__":
    main()
