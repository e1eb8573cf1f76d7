"""How many rankings a reward model needs: accuracy in the small world against the number learned from.

    .venv/bin/python -m benchmarks.rankings_needed --folder var/rankings_needed [--counts 100 300 1000 3000]

Pictures are drawn by the shipped generator and ranked by simulated annotators; each training starts from the
shipped encoder, and all are judged on the same test prompts. Stopped and started again, it goes on with the
pictures and the trainings it has. `--only pictures` trains nothing; `--part 0/2` draws every second picture.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from time import process_time
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from demo.settings import GUIDANCE_SCALE, REWARD_CONFIG, STEPS
from demo.world.annotators import Annotator
from demo.world.captions import Split, draw_captions
from demo.world.oracle import judge

if TYPE_CHECKING:
    from rewardmodel.learning.data.rankings import Ranking
    from rewardmodel.learning.evaluation import Evaluation
    from rewardmodel.learning.training import Progress

ROOT = Path(__file__).parents[1]
GENERATOR, ENCODER = ROOT / "demo/weights/generator", ROOT / "demo/weights/encoder"
COUNTS = (100, 300, 1000, 3000)
EPOCHS = {100: 10, 300: 10, 1000: 6, 3000: 4}  # the best on the validation split is kept
TEST, VALIDATION = 300, 120  # prompts
CAPTIONS = 2700  # of the 2,742 that may be ranked
IMAGES, PEOPLE = 4, 6
CHUNK = 4  # prompts drawn at a time
ROW = "{:>12} {:>7} {:>9} {:>16} {:>24} {:>8}"


@dataclass(frozen=True)
class Task:
    """One ranking to come: its prompt, the seeds of its images, and the split it is for."""

    number: int
    split: str
    prompt: str
    seeds: tuple[int, ...]

    @property
    def files(self) -> list[str]:
        return [f"images/{self.number:05}-{place}.png" for place in range(len(self.seeds))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True, help="pictures and models go there, and stay")
    parser.add_argument("--counts", type=int, nargs="+", default=list(COUNTS))
    parser.add_argument("--only", choices=["pictures"])
    parser.add_argument("--part", default="0/1", help="of the pictures: 0/2 and 1/2 may be drawn at once")
    asked = parser.parse_args()
    tasks = all_tasks(max(asked.counts))
    draw_pictures(tasks, asked.folder, *map(int, asked.part.split("/")))
    if asked.only is None:
        compare_counts(tasks, asked.folder, asked.counts)


def all_tasks(most: int) -> list[Task]:
    """The test split, the validation split, then the training split: more of it never changes what was.

    Past the last caption they come again, with other seeds.
    """
    from refl.seeds import seeds_of

    held_out, chance = TEST + VALIDATION, Random(0)
    captions = draw_captions(Split.RANKING, CAPTIONS, chance)
    chance.shuffle(captions)  # they come with the rare kinds first
    learned = captions[held_out:]
    tasks = []
    for number in range(held_out + most):
        again, at = divmod(max(number - held_out, 0), len(learned))
        prompt = captions[number] if number < held_out else learned[at]
        split = "test" if number < TEST else "validation" if number < held_out else "train"
        seeds = seeds_of(prompt, IMAGES * (again + 1))[-IMAGES:]
        tasks.append(Task(number, split, prompt, tuple(seeds)))
    return tasks


def draw_pictures(
    tasks: Sequence[Task],
    folder: Path,
    part: int = 0,
    parts: int = 1,
    *,
    which: slice = slice(None),
    generator: Path = GENERATOR,
    steps: int = STEPS,
    guidance_scale: float = GUIDANCE_SCALE,
) -> None:
    """Draw what the folder lacks of the tasks' pictures.

    Args: part, parts: which share of the tasks; which: of the pictures of each.
    """
    from refl.learning.families.loading import load_family
    from refl.learning.sampling import sample

    (folder / "images").mkdir(parents=True, exist_ok=True)
    missing = [one for one in tasks if not (folder / one.files[which][-1]).is_file()]
    missing = [one for one in missing if one.number % parts == part]
    if not missing:
        return
    family = load_family(generator)
    for start in tqdm(range(0, len(missing), CHUNK), desc="pictures", unit="chunk"):
        chunk = missing[start : start + CHUNK]
        drawn = sample(
            family,
            [one.prompt for one in chunk for _ in one.seeds[which]],
            [seed for one in chunk for seed in one.seeds[which]],
            steps=steps,
            guidance_scale=guidance_scale,
            batch_size=CHUNK * IMAGES,
        )
        files = [file for one in chunk for file in one.files[which]]
        for file, image in zip(files, drawn, strict=True):
            written = folder / f"{file}.new"
            image.save(written, "png")
            written.rename(folder / file)


def compare_counts(tasks: Sequence[Task], folder: Path, counts: Sequence[int]) -> None:
    """Rank what was drawn, train once for each count, and print a row for each model."""
    from rewardmodel.learning import load
    from rewardmodel.learning.data.rankings import load_rankings
    from rewardmodel.learning.evaluation import evaluate, evaluate_rewards

    rows = ranked(tasks, folder)
    for count in counts:
        write_dataset(rows, folder / f"dataset-{count}", count)
    test = load_rankings(folder / f"dataset-{counts[0]}", "test", folder)
    verdicts = [[judge(read(file), one.prompt).score for file in one.images] for one in test]
    print(ROW.format("rankings", "epochs", "accuracy", "95 % interval", "over the encoder", "CPU s"))
    untrained = evaluate(load(ENCODER), test)
    print_row("none", "", untrained, untrained, "")
    for count in counts:
        seconds = train_on(folder, count)
        model = load(run_folder(folder, count) / "best")
        print_row(f"{count:,}", EPOCHS.get(count, 6), evaluate(model, test), untrained, f"{seconds:.0f}")
    print_row("the oracle", "", evaluate_rewards(verdicts, test), untrained, "")
    print("another annotator", another_annotator(test))


def ranked(tasks: Sequence[Task], folder: Path) -> list[dict[str, Any]]:
    """A line of rankings.jsonl for each task: its people take turns."""
    file = folder / "ranked.json"
    answers: dict[str, Any] = json.loads(file.read_text()) if file.is_file() else {}
    people = [Annotator.drawn(seed) for seed in range(PEOPLE)]
    for task in tqdm(tasks, desc="rankings", unit="ranking"):
        if task.files[0] not in answers:
            images = [read(folder / name) for name in task.files]
            person = people[task.number % PEOPLE]
            opinion = person.judge(images, task.prompt, Random(f"first {task.number}"))
            fidelity = [rating.fidelity for rating in opinion.ratings]
            answers[task.files[0]] = {"ranking": list(opinion.slots), "ratings": {"fidelity": fidelity}}
    file.write_text(json.dumps(answers))
    return [
        {
            "id": str(one.number),
            "prompt": one.prompt,
            "split": one.split,
            "images": one.files,
            **answers[one.files[0]],
        }
        for one in tasks
    ]


def write_dataset(rows: Sequence[dict[str, Any]], folder: Path, count: int) -> None:
    learned = [row for row in rows if row["split"] == "train"][:count]
    kept = [row for row in rows if row["split"] != "train"] + learned
    folder.mkdir(exist_ok=True)
    (folder / "rankings.jsonl").write_text("".join(json.dumps(row) + "\n" for row in kept))


def train_on(
    folder: Path,
    count: int,
    *,
    initial: Path = ENCODER,
    seed: int = REWARD_CONFIG.seed,
    aspects: tuple[str, ...] = (),
) -> float:
    """The CPU seconds that it took, also where it was done before. The model is `best` in its folder."""
    from rewardmodel.learning.training import Callbacks, train

    own, began = run_folder(folder, count, seed), process_time()
    done = own / "seconds.json"
    if done.is_file():
        return float(json.loads(done.read_text()))
    config = dataclasses.replace(REWARD_CONFIG, epochs=EPOCHS.get(count, 6), aspects=aspects, seed=seed)
    with tqdm(desc=f"{count} rankings", unit="step") as bar:

        def draw(progress: Progress) -> None:
            bar.total = progress.steps
            bar.update(progress.step - bar.n)

        dataset = folder / f"dataset-{count}"
        places = {"dataset": dataset, "images": folder, "initial": initial, "folder": own}
        train(config, **places, callbacks=Callbacks(on_step=draw))
    seconds = process_time() - began
    done.write_text(json.dumps(seconds))
    return seconds


def run_folder(folder: Path, count: int, seed: int = REWARD_CONFIG.seed) -> Path:
    return folder / (f"run-{count}" if seed == REWARD_CONFIG.seed else f"run-{count}-{seed}")


def another_annotator(test: Sequence[Ranking]) -> str:
    """How often somebody else orders the pairs as was recorded, who ties some; a tie as half."""
    from annotation.statistics.estimates import mean_over_prompts
    from rewardmodel.learning.evaluation.people import agreement

    prompts, shares = [], []
    for ranking in test:
        number = int(ranking.id)
        other = Annotator.drawn((number + 1) % PEOPLE)
        images = [read(file) for file in ranking.images]
        slots = other.rank(images, ranking.prompt, Random(f"second {number}"))
        recorded = dict(zip(ranking.images, ranking.places, strict=True))
        right, pairs = agreement(recorded, dict(zip(ranking.images, slots, strict=True)))
        prompts += [number] * pairs
        shares += [right / pairs] * pairs
    found = mean_over_prompts(np.array(prompts), np.array(shares), seed=0)
    assert found is not None
    return f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}]"


def print_row(name: str, epochs: object, found: Evaluation, untrained: Evaluation, seconds: str) -> None:
    from rewardmodel.learning.evaluation import compare

    gain = compare(found, untrained)
    over = f"{gain.difference:+.3f} [{gain.interval.low:+.3f}, {gain.interval.high:+.3f}]"
    around = f"[{found.interval.low:.3f}, {found.interval.high:.3f}]"
    print(ROW.format(name, epochs, f"{found.accuracy:.3f}", around, over, seconds), flush=True)


def read(file: Path) -> Image.Image:
    return Image.open(file).convert("RGB")


if __name__ == "__main__":
    main()
