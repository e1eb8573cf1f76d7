"""Images for prompts: which prompts get them, and that none is made twice."""

import json
import os
import random
import shutil
import signal
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.utils.timezone import now

from annotation.models import Assignment, Generation, Project, Prompt
from annotation.selectors.projects.uncertainty import prompt_uncertainty
from annotation.services.assignments.assignments import open_assignments
from annotation.services.projects.prompts import NewImage, add_generations, add_prompts
from annotation.statistics.uncertainty import mean_pair_entropy
from refl.image_files import Description
from refl.learning.families import NotAPipeline
from refl.learning.families.loading import load_family
from refl.learning.sampling import sample
from refl.models import Generator, SamplingRun
from refl.seeds import seeds_of
from refl.selectors.generators import NoGenerator, newest_kept
from refl.services import sampling
from refl.services.generators import register_generator
from refl.services.samples import import_samples
from refl.services.sampling import CannotSample, least_sure, make_samples, queue_sampling
from rewardmodel.learning.errors import Interrupted
from rewardmodel.runs import states
from rewardmodel.runs.execution import Heartbeat, execute
from rewardmodel.scoring import scorer
from rewardmodel.selection.design import d_optimal, information_root, prior_precision
from tests.cast import picture
from tests.refl.conftest import save_reward_model

# The heart of a run beats in a thread of its own, which sees only what was committed.
for_real = pytest.mark.django_db(transaction=True)


class Impatient(Heartbeat):
    """Stops the work after so many reports."""

    def __init__(self, run, reports):
        super().__init__(run)
        self.left = reports

    def report(self, **progress):
        super().report(**progress)
        self.left -= 1
        if self.left == 0:
            self.stop()


def queue(generator, **asked):
    return queue_sampling(generator=generator, **{"per_prompt": 2, "rng": random.Random(0)} | asked)


def generate(project, *more):
    call_command("generate", project.slug, "--generator", "small", "--per-prompt", "2", *more)


@for_real
def test_the_command_makes_images_and_asks_for_opinions(project, generator, prompts, capsys):
    generate(project, "--prompts", "3")
    made = Generation.objects.order_by("prompt", "pk")
    assert [image.prompt for image in made] == [p for p in prompts[:3] for _ in range(2)]
    assert [image.seed for image in made] == [s for p in prompts[:3] for s in seeds_of(p.key, 2)]
    assert {image.generator for image in made} == {"small"}
    assert made[0].parameters == {"steps": 2, "guidance_scale": 1.0}
    assert len({image.image_id for image in made}) == 6
    assert set(Assignment.objects.values_list("prompt", flat=True)) == {p.pk for p in prompts[:3]}
    assert "6 images for 3 prompts" in capsys.readouterr().out


@for_real
def test_a_second_start_makes_only_what_is_missing_and_at_last_nothing(project, generator, prompts):
    project.prompts.exclude(pk__in=[prompt.pk for prompt in prompts[:4]]).delete()
    generate(project, "--prompts", "3")
    before = set(Generation.objects.values_list("pk", flat=True))
    generate(project)
    fresh = Generation.objects.exclude(pk__in=before)
    assert {image.prompt for image in fresh} == {prompts[3]}
    with pytest.raises(CommandError, match="no prompt"):
        generate(project)
    assert Generation.objects.count() == 8


def test_an_interrupted_run_makes_the_rest_and_no_batch_twice(project, generator, prompts):
    run = queue(generator, prompts=6)
    run.config["batch_size"] = 4
    states.claim(run, now=now())
    with pytest.raises(Interrupted):
        make_samples(run, Impatient(run, 7))
    assert len(list((run.folder / "images").glob("*.png"))) == 7
    assert Generation.objects.count() == 6  # of the prompts that have all theirs: annotators may begin

    heartbeat = Impatient(run, 99)
    make_samples(run, heartbeat)
    assert 99 - heartbeat.left == 8  # the second batch, which was cut short, and the third
    assert Generation.objects.count() == 12
    assert not (run.folder / "images").exists()


@pytest.fixture
def coarse(project, generator):
    """The same pipeline, sampled in one step."""
    return register_generator(
        project=project, name="coarse", pipeline=generator.pipeline, steps=1, guidance_scale=1.0
    )


def test_generators_side_by_side_make_each_prompts_images_in_turn(project, generator, coarse, prompts):
    run = queue(generator, prompts=3, per_prompt=3, beside=[coarse])
    run.config["batch_size"] = 2
    states.claim(run, now=now())
    with pytest.raises(Interrupted):
        make_samples(run, Impatient(run, 4))
    make_samples(run, Impatient(run, 99))
    for prompt in prompts[:3]:
        images = Generation.objects.filter(prompt=prompt).order_by("pk")
        assert [image.generator for image in images] == ["small", "coarse", "small"]
        assert [image.parameters["steps"] for image in images] == [2, 1, 2]
        assert [image.seed for image in images] == seeds_of(prompt.key, 3)


def test_a_generator_beside_must_be_kept_and_of_the_same_project(generator, coarse, prompts, a_project):
    coarse.kept = False
    coarse.save()
    with pytest.raises(CannotSample, match="coarse is not kept"):
        queue(generator, beside=[coarse])
    stranger = register_generator(project=a_project(), name="stranger", pipeline=generator.pipeline)
    with pytest.raises(CannotSample, match="stranger is of another project than small"):
        queue(generator, beside=[stranger])


@for_real
def test_the_command_resumes_a_run_that_was_interrupted(project, generator, prompts):
    run = queue(generator, prompts=3)

    def interrupt(step, steps, values):
        os.kill(os.getpid(), signal.SIGTERM)

    execute(run, lambda heartbeat: make_samples(run, heartbeat), on_report=interrupt)
    assert (run.state, run.step) == (SamplingRun.State.QUEUED, 1)
    call_command("generate", run=run.pk)
    run.refresh_from_db()
    assert (run.state, run.step) == (SamplingRun.State.FINISHED, 6)
    assert Generation.objects.count() == 6


def test_a_generator_of_the_hub_is_seen_once_a_run_has_loaded_it(project, pipeline, prompts, hub_cache):
    generator = register_generator(project=project, name="sd", pipeline="somebody/sd", steps=2)
    Generator.objects.update(is_seen=False)
    generator.refresh_from_db()
    with pytest.raises(NoGenerator):
        newest_kept(project)
    run = queue(generator, prompts=1)
    states.claim(run, now=now())
    make_samples(run, Impatient(run, 99))
    assert newest_kept(project) == generator


@for_real
def test_a_pipeline_that_broke_fails_a_run_at_once_with_one_line(project, pipeline, prompts, tmp_path):
    folder = shutil.copytree(pipeline, tmp_path / "mine")
    generator = register_generator(project=project, name="mine", pipeline=folder)
    (folder / "tokenizer" / "tokenizer.json").unlink()
    run = queue(generator, prompts=1)
    with pytest.raises(NotAPipeline):
        execute(run, lambda heartbeat: make_samples(run, heartbeat), supervisor=os.getppid())
    run.refresh_from_db()
    assert (run.state, run.crashes) == (SamplingRun.State.FAILED, 0)
    assert run.error.startswith(f"NotAPipeline: {folder}: tokenizer/vocab.json: it is missing")
    assert "\n" not in run.error


def test_annotators_get_the_prompts_on_which_the_reward_model_is_least_sure(
    project, generator, prompts, promoted
):
    """By the model's rewards in nats, whatever it is normalised with, before images are stored and after."""
    Project.objects.update(choice_rule="entropy")
    config = Path(promoted.location) / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"std": 0.01}))
    run = queue(generator, prompts=2, per_prompt=3, checkpoint=promoted, pool_factor=3)
    assert len(run.config["pool"]) == 6
    kept = run.folder / "images"
    states.claim(run, now=now())
    with pytest.raises(Interrupted):
        make_samples(run, Impatient(run, 18))  # all are made, none is handed out
    model = scorer(promoted)
    pool = list(project.prompts.filter(pk__in=run.config["pool"]))
    files = [[kept / f"{prompt.pk}-{seed}.png" for seed in seeds_of(prompt.key, 3)] for prompt in pool]
    seen = model.embed_groups([prompt.text for prompt in pool], files)
    doubts = {
        prompt: mean_pair_entropy(each.rewards.tolist()) for prompt, each in zip(pool, seen, strict=True)
    }
    make_samples(run, Impatient(run, 99))
    most_doubted = sorted(doubts, key=lambda prompt: doubts[prompt], reverse=True)[:2]
    assert {image.prompt for image in Generation.objects.all()} == set(most_doubted)
    assert {image.scored_by for image in Generation.objects.all()} == {promoted.name}
    assert set(Assignment.objects.values_list("prompt", flat=True)) == {p.pk for p in most_doubted}
    stored = prompt_uncertainty([prompt.pk for prompt in most_doubted])
    assert stored == {prompt.pk: pytest.approx(doubts[prompt], rel=1e-3) for prompt in most_doubted}
    assert stored[most_doubted[0].pk] > 0.5  # of 0.69: of normalised rewards it would be next to nothing


def test_annotators_get_the_prompts_that_together_teach_the_reward_model_most(
    project, generator, prompts, promoted
):
    first = queue(generator, prompts=2)
    states.claim(first, now=now())
    make_samples(first, Impatient(first, 99))
    SamplingRun.objects.update(state=SamplingRun.State.FINISHED, finished_at=now())
    asked = list(project.prompts.filter(generations__isnull=False).distinct())
    model = scorer(promoted)
    stored = Path(settings.MEDIA_ROOT)
    before = model.embed_groups(
        [prompt.text for prompt in asked],
        [[stored / image.image.file.name for image in prompt.generations.order_by("pk")] for prompt in asked],
    )
    run = queue(generator, prompts=2, checkpoint=promoted, pool_factor=3)
    assert run.config["rule"] == "d_optimal"
    states.claim(run, now=now())
    with pytest.raises(Interrupted):
        make_samples(run, Impatient(run, 12))  # all are made, none is handed out
    pool = list(project.prompts.filter(pk__in=run.config["pool"]))
    made = run.folder / "images"
    files = [[made / f"{prompt.pk}-{seed}.png" for seed in seeds_of(prompt.key, 2)] for prompt in pool]
    seen = model.embed_groups([prompt.text for prompt in pool], files)
    expected = d_optimal(
        {prompt.pk: information_root(each.features) for prompt, each in zip(pool, seen, strict=True)},
        2,
        asked=[information_root(each.features) for each in before],
        precision=prior_precision([each.features for each in (*seen, *before)]),
    )
    make_samples(run, Impatient(run, 99))
    given = set(Generation.objects.exclude(prompt__in=asked).values_list("prompt", flat=True))
    assert given == set(expected)


def test_a_choice_at_random_makes_no_image_that_is_thrown_away(project, generator, prompts, promoted):
    Project.objects.update(choice_rule="random")
    run = queue(generator, prompts=2, checkpoint=promoted, pool_factor=3)
    states.claim(run, now=now())
    make_samples(run, Impatient(run, 99))
    assert set(Generation.objects.values_list("prompt", flat=True)) == set(run.config["pool"])
    assert len(run.config["pool"]) == 2


@for_real
def test_the_best_candidate_of_each_image_is_kept_and_its_data_say_so(project, generator, prompts, shipped):
    generate(project, "--prompts", "2", "--best-of", "3", "--reward", "shipped")
    made = list(Generation.objects.order_by("prompt", "pk"))
    assert [image.prompt for image in made] == [p for p in prompts[:2] for _ in range(2)]
    family, model = load_family(generator.location), scorer(shipped)
    for prompt in prompts[:2]:
        seeds = seeds_of(prompt.key, 6)
        candidates = list(sample(family, [prompt.text] * 6, seeds, steps=2, guidance_scale=1.0, batch_size=6))
        rewards = dict(zip(seeds, model.score(prompt.text, candidates), strict=True))
        for image, group in zip(prompt.generations.order_by("pk"), (seeds[:3], seeds[3:]), strict=True):
            assert image.seed == max(group, key=lambda seed: rewards[seed])
            said = image.parameters
            assert (said["best_of"], said["reward_model"], said["steps"]) == (3, "shipped", 2)
            assert said["reward"] == pytest.approx(rewards[image.seed], abs=0.1)


def test_an_interrupted_choice_goes_on_with_the_same_images(generator, prompts, promoted):
    asked = {"prompts": 3, "best_of": 2, "best_by": promoted}
    images = []
    for stops in ([], [3, 1]):
        run = queue(generator, **asked)
        run.config["batch_size"] = 4  # candidates of two images
        states.claim(run, now=now())
        for reports in stops:
            with pytest.raises(Interrupted):
                make_samples(run, Impatient(run, reports))
        make_samples(run, Impatient(run, 99))
        images.append(list(Generation.objects.order_by("pk").values_list("prompt", "seed", "image")))
        Assignment.objects.all().delete()
        Generation.objects.all().delete()
        SamplingRun.objects.all().delete()
    assert len(images[0]) == 6
    assert images[0] == images[1]


def test_a_run_that_is_interrupted_while_it_imports_goes_on_with_the_prompts_it_chose(
    project, generator, prompts, promoted, monkeypatch
):
    run = queue(generator, prompts=2, checkpoint=promoted, pool_factor=3)
    states.claim(run, now=now())
    imported = []

    def import_one(*, prompt, samples):
        if imported:
            raise Interrupted
        imported.append(prompt)
        import_samples(prompt=prompt, samples=samples)

    with monkeypatch.context() as patched:
        patched.setattr(sampling, "import_samples", import_one)
        with pytest.raises(Interrupted):
            make_samples(run, Impatient(run, 99))
    # Meanwhile people are asked about much the same as the prompt that was chosen and not imported.
    chosen = json.loads((run.folder / "chosen.json").read_text())
    [other] = {*chosen} - {imported[0].pk}
    text = Prompt.objects.get(pk=other).text
    alike, _ = add_prompts(project=project, texts={f"like {n}": f"{text}, {n}" for n in range(3)})
    files = sorted((run.folder / "images").glob(f"{other}-*.png"))
    for each in alike.values():
        add_generations(prompt=each, images=[NewImage(file.read_bytes(), file.name) for file in files])
    open_assignments(prompts=list(alike.values()))
    Generation.objects.update(score=0.0, scored_by=promoted.name)
    make_samples(run, Impatient(run, 99))
    given = Generation.objects.exclude(prompt__in=alike.values()).values_list("prompt", flat=True)
    assert set(given) == set(chosen)


@pytest.mark.parametrize(("best_of", "with_model"), [(0, False), (65, True), (2, False), (1, True)])
def test_the_best_is_one_of_a_few_candidates_by_a_reward_model(
    generator, prompts, promoted, best_of, with_model
):
    with pytest.raises(CannotSample, match="best of"):
        queue(generator, best_of=best_of, best_by=promoted if with_model else None)


def test_the_prompts_with_the_closest_rewards_are_chosen_first():
    rewards = {7: [0.0, 4.0], 3: [1.0, 1.1], 5: [0.0, 1.0]}
    assert least_sure(rewards, 2) == [3, 5]


def test_prompts_the_model_is_equally_unsure_of_are_taken_in_their_order():
    assert least_sure({9: [1.0, 2.0], 4: [2.0, 1.0]}, 1) == [4]


def test_the_pool_is_drawn_at_random_the_same_for_the_same_seed(project, generator, prompts, promoted):
    asked = {"prompts": 2, "checkpoint": promoted, "pool_factor": 3}
    pools = []
    for seed in (1, 1, 2):
        run = queue(generator, **asked, rng=random.Random(seed))
        pools.append(run.config["pool"])
        states.cancel(run, now=now())
    assert pools[0] == pools[1] != pools[2]


def test_a_prompt_that_got_images_meanwhile_keeps_those_alone(project, generator, prompts):
    run = queue(generator, prompts=2)
    theirs = [NewImage(picture(n), f"{n}.png") for n in (1, 2)]
    add_generations(prompt=prompts[0], images=theirs)
    states.claim(run, now=now())
    make_samples(run, Impatient(run, 99))
    assert list(prompts[0].generations.values_list("generator", flat=True)) == ["", ""]
    assert prompts[1].generations.count() == 2


@pytest.mark.parametrize("per_prompt", [0, 11])
def test_more_images_than_can_be_placed_or_none_are_refused(project, generator, prompts, per_prompt):
    with pytest.raises(CannotSample, match="gets 1 to 10 images"):
        queue(generator, per_prompt=per_prompt)
    assert not SamplingRun.objects.exists()


@pytest.mark.parametrize("pool_factor", [0, -1])
def test_a_pool_without_prompts_is_refused(generator, prompts, promoted, pool_factor):
    with pytest.raises(CannotSample, match="for each prompt that is chosen 1 or more are tried"):
        queue(generator, checkpoint=promoted, pool_factor=pool_factor)
    assert not SamplingRun.objects.exists()


def test_one_image_leaves_no_order_to_be_unsure_of(generator, prompts, promoted):
    with pytest.raises(CannotSample, match="gets 2 to 10 images"):
        queue(generator, per_prompt=1, checkpoint=promoted)


def test_a_generator_that_is_not_kept_makes_no_images_for_annotators(generator, prompts):
    for kept in (None, False):
        generator.kept = kept
        with pytest.raises(CannotSample, match="small is not kept"):
            queue(generator)


def test_images_of_a_project_are_made_by_one_run_at_a_time(generator, prompts):
    queue(generator)
    with pytest.raises(CannotSample, match="being made already"):
        queue(generator)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["project-0"], "needs a --generator"),
        (["project-0", "--generator", "x", "--per-prompt", "2"], "no generator 'x'"),
        (["project-0", "--generator", "small", "--per-prompt", "2", "--least-sure"], "no reward model"),
    ],
)
def test_the_command_says_in_one_line_what_is_wrong(project, generator, prompts, arguments, said):
    with pytest.raises(CommandError, match=said):
        call_command("generate", *arguments)


def test_a_file_of_prompts_is_sampled_into_a_folder_and_what_is_there_stays(pipeline, tmp_path, capsys):
    file, folder = tmp_path / "prompts.txt", tmp_path / "images"
    file.write_text("a red fox\n\na blue owl\n")
    asked = ["sample", "--generator", pipeline, "--prompts", file, "--to", folder, "--per-prompt", "2"]
    asked = [str(word) for word in [*asked, "--steps", "2", "--guidance-scale", "1"]]
    call_command(*asked)
    assert len(list(folder.glob("*.png"))) == 4
    rows = [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]
    assert [row["prompt"] for row in rows] == ["a red fox", "a blue owl"]
    assert all((folder / image["file"]).is_file() for row in rows for image in row["images"])
    call_command(*asked)
    assert "0 images made, 4 were there" in capsys.readouterr().out


def test_a_folder_of_another_generators_images_is_left_alone(pipeline, tmp_path):
    file, folder = tmp_path / "prompts.txt", tmp_path / "images"
    file.write_text("a red fox\n")
    asked = ["--prompts", str(file), "--to", str(folder), "--steps", "2", "--guidance-scale", "1"]
    call_command("sample", "--generator", str(pipeline), *asked)
    written = (folder / "manifest.jsonl").read_text()
    for other in (["--generator", "other"], ["--generator", str(pipeline), "--lora", "style.safetensors"]):
        with pytest.raises(CommandError, match="needs its own folder"):
            call_command("sample", *other, *asked)
    assert (folder / "manifest.jsonl").read_text() == written


def test_a_file_of_prompts_gets_the_best_of_several_candidates(pipeline, shipped, tmp_path, capsys):
    file, folder = tmp_path / "prompts.txt", tmp_path / "images"
    file.write_text("a red fox\n")
    asked = ["sample", "--generator", pipeline, "--prompts", file, "--to", folder, "--per-prompt", "2"]
    asked += ["--steps", "2", "--guidance-scale", "1", "--best-of", "2", "--reward", shipped.location]
    asked = [str(word) for word in asked]
    call_command(*asked)
    [row] = [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]
    seeds = seeds_of("a red fox", 4)
    for image, group in zip(row["images"], (seeds[:2], seeds[2:]), strict=True):
        assert image["seed"] in group
        assert image["parameters"]["best_of"] == 2
        assert Description.read(folder / image["file"]).reward == image["parameters"]["reward"]
    call_command(*asked)
    assert "0 images made, 2 were there" in capsys.readouterr().out
    save_reward_model(tmp_path / "other", seed=3)
    asked[-1] = str(tmp_path / "other")
    call_command(*asked)
    assert "2 images made, 0 were there" in capsys.readouterr().out


def test_the_best_of_a_file_takes_a_reward_model(pipeline, tmp_path):
    asked = ["--generator", str(pipeline), "--prompts", "none.txt", "--to", str(tmp_path / "images")]
    for more in (["--best-of", "2"], ["--reward", "somewhere"]):
        with pytest.raises(CommandError, match="are given together"):
            call_command("sample", *asked, *more)


@pytest.mark.parametrize("scale", ["nan", "inf", "0.5"])
def test_a_guidance_of_no_number_of_1_or_more_is_refused(pipeline, tmp_path, scale):
    asked = ["--generator", str(pipeline), "--prompts", "none.txt", "--to", str(tmp_path / "images")]
    with pytest.raises(CommandError, match="--guidance-scale must be at least 1"):
        call_command("sample", *asked, "--guidance-scale", scale)


@for_real
def test_what_was_sampled_can_be_imported(project, pipeline, tmp_path):
    file, folder = tmp_path / "prompts.txt", tmp_path / "images"
    file.write_text("a red fox\n")
    asked = ["--per-prompt", "2", "--steps", "2", "--guidance-scale", "1"]
    call_command("sample", "--generator", str(pipeline), "--prompts", str(file), "--to", str(folder), *asked)
    call_command("import_generations", project.slug, str(folder / "manifest.jsonl"))
    assert Generation.objects.filter(prompt__text="a red fox").count() == 2


@pytest.mark.parametrize(
    ("text", "said"), [(None, "missing|No such file"), ("", "has no prompts"), (b"\xff", "no UTF-8")]
)
def test_a_bad_file_of_prompts_is_refused_and_nothing_is_written(pipeline, tmp_path, text, said):
    file, folder = tmp_path / "prompts.txt", tmp_path / "images"
    if text is not None:
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(CommandError, match=said):
        call_command("sample", "--generator", str(pipeline), "--prompts", str(file), "--to", str(folder))
    assert not folder.exists()


def test_a_folder_that_is_no_pipeline_is_refused(tmp_path):
    file = tmp_path / "prompts.txt"
    file.write_text("a red fox\n")
    to = tmp_path / "images"
    with pytest.raises(CommandError, match="model_index"):
        call_command("sample", "--generator", str(tmp_path), "--prompts", str(file), "--to", str(to))
