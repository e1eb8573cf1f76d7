"""Heads for alignment, fidelity and problems: what they learn of what people said, and who needs none."""

import dataclasses
import itertools
import json
from itertools import combinations
from math import exp, log, nan

import pytest
import torch
from safetensors.torch import load_file

from rewardmodel.learning import checkpoints
from rewardmodel.learning.checkpoints.converting import convert
from rewardmodel.learning.checkpoints.folder import CheckpointConfig
from rewardmodel.learning.config import RewardConfig
from rewardmodel.learning.data.preprocessing import ImageInput
from rewardmodel.learning.data.rankings import DatasetError, fingerprint, load_rankings
from rewardmodel.learning.errors import CheckpointError, Interrupted
from rewardmodel.learning.losses import aspect_loss
from rewardmodel.learning.model.aspects import ASPECTS, PROBLEMS, shares
from rewardmodel.learning.model.backbones.dual import DualConfig
from rewardmodel.learning.model.heads import ArtifactHead, AspectHead, describe_aspects, expected_rating
from rewardmodel.learning.model.reward import RewardModel
from rewardmodel.learning.scoring import NoAspects, load_scorer
from rewardmodel.learning.training import Callbacks, train
from tests.rewardmodel.learning.conftest import spread

CONFIG = RewardConfig(
    learning_rate=3e-3, batch_pairs=16, epochs=3, fix_rate=0.4, micro_batch_images=8, aspects=ASPECTS
)
TOKENS, MASK = torch.tensor([[2, 6, 8, 3], [2, 7, 9, 3]]), torch.ones(2, 4, dtype=torch.int64)


@pytest.fixture
def run(tmp_path, a_dataset, initial):
    """Train on rated images into a folder of that name; the reported steps and the result."""
    dataset = a_dataset(train=24, test=8, rated=True)

    def start(name="run", config=CONFIG, initial=initial, **options):
        seen = []
        result = train(
            config,
            dataset=dataset,
            images=dataset,
            initial=initial,
            folder=tmp_path / name,
            callbacks=Callbacks(on_step=seen.append, **options),
        )
        return [(p.step, p.loss, p.validation_loss) for p in seen], result

    return start


def sigmoid(x):
    return 1 / (1 + exp(-x))


def test_the_loss_is_the_cross_entropy_of_each_question_of_the_images_that_somebody_answered():
    logits = torch.randn(2, 3, 6)
    ratings = [[1, 7, None], [None, 4, 2]]
    answers = torch.full((2, 3, 6), nan)
    expected = []
    for b in range(2):
        for k in range(3):
            if ratings[b][k] is None:
                continue
            terms = []
            for step in range(6):
                above = ratings[b][k] > step + 1
                answers[b, k, step] = above
                p = sigmoid(logits[b, k, step].item())
                terms.append(-log(p if above else 1 - p))
            expected.append(sum(terms) / 6)
    assert aspect_loss(logits, answers).item() == pytest.approx(sum(expected) / 4, rel=1e-5)
    assert aspect_loss(logits, answers, images=10).item() == pytest.approx(sum(expected) / 10, rel=1e-5)


def test_where_nobody_said_anything_there_is_nothing_to_learn():
    logits = torch.randn(1, 2, 7, requires_grad=True)
    loss = aspect_loss(logits, torch.full((1, 2, 7), nan), images=4)
    loss.backward()
    assert loss.item() == 0
    assert not logits.grad.any()


def test_a_rating_is_one_number_and_six_thresholds_and_its_expectation_lies_between_1_and_7():
    head = AspectHead("alignment", 5)
    torch.nn.init.normal_(head.weight)
    torch.nn.init.normal_(head.bias)
    x = torch.randn(3, 5)
    for row, logits in zip(x, head(x), strict=True):
        level = sum(w * v for w, v in zip(head.weight[0].tolist(), row.tolist(), strict=True))
        assert logits.tolist() == pytest.approx([level + b for b in head.bias.tolist()], abs=1e-5)
    expected = [1 + sum(sigmoid(logit) for logit in row) for row in head(x).tolist()]
    assert expected_rating(head(x)).tolist() == pytest.approx(expected, rel=1e-5)


def test_an_artifact_head_looks_at_each_patch_by_itself_and_reads_the_mean_and_the_largest():
    head = ArtifactHead("fidelity", 5).eval()
    torch.nn.init.normal_(head.answers.weight)
    torch.nn.init.normal_(head.answers.bias)
    features = torch.randn(2, 3, 5)
    seen = [[torch.nn.functional.gelu(head.look(head.norm(patch))) for patch in image] for image in features]
    for image, logits in zip(seen, head(features), strict=True):
        columns = list(zip(*(patch.tolist() for patch in image), strict=True))
        pooled = [sum(column) / 3 for column in columns] + [max(column) for column in columns]
        level = sum(w * v for w, v in zip(head.answers.weight[0].tolist(), pooled, strict=True))
        assert logits.tolist() == pytest.approx([level + b for b in head.answers.bias.tolist()], abs=1e-4)


def test_heads_for_artifacts_change_no_weight_that_the_reward_reads(run):
    _, without = run("without", dataclasses.replace(CONFIG, aspects=()))
    _, result = run("with", dataclasses.replace(CONFIG, aspects=("fidelity", "problems")))
    ours, theirs = (load_file(r.checkpoint / "model.safetensors") for r in (result, without))
    assert {name for name in ours if name not in theirs} == {
        name for name in ours if name.startswith(("aspect_heads.fidelity", "aspect_heads.problems"))
    }
    assert [name for name in theirs if not torch.equal(ours[name], theirs[name])] == []


def test_a_run_stopped_while_heads_for_artifacts_are_fitted_goes_on_to_fit_them(run):
    config = dataclasses.replace(CONFIG, epochs=1, aspects=("fidelity",))
    asked = []
    _, expected = run("whole", config, should_stop=lambda: bool(asked.append(None)))
    calls = itertools.count(1)
    with pytest.raises(Interrupted, match="heads for artifacts"):
        run("broken", config, should_stop=lambda: next(calls) == len(asked))
    rest, result = run("broken", config)
    assert rest == []
    ours, theirs = (load_file(r.checkpoint / "model.safetensors") for r in (result, expected))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_a_run_that_died_after_heads_for_artifacts_were_fitted_fits_the_same_again(run):
    config = dataclasses.replace(CONFIG, epochs=1, aspects=("alignment", "fidelity"))
    _, result = run("run", config)
    fitted = (result.checkpoint / "model.safetensors").read_bytes()
    run("run", config)
    assert (result.checkpoint / "model.safetensors").read_bytes() == fitted


def test_the_score_of_an_aspect_is_that_of_the_files_normalised_and_has_a_gradient(run, a_dataset):
    _, result = run()
    scorer = load_scorer(result.checkpoint)
    folder = a_dataset(train=24, test=8, rated=True)
    row = load_rankings(folder, "validation")[0]
    prompts = [row.prompt] * len(row.images)
    said = scorer.score_aspects(prompts, row.images)
    images = torch.stack([scorer.pixels(image) for image in row.images]).float() / 255
    images.requires_grad_()
    for name in ASPECTS:
        mean, std = scorer.aspect_scale(name)
        raw = [sum(each[name].values()) * -1 if name == "problems" else each[name] for each in said]
        scores = scorer.score_aspect(name, prompts, images)
        assert scores.tolist() == pytest.approx([(value - mean) / std for value in raw], abs=1e-3)
        [gradient] = torch.autograd.grad(scores.sum(), images)
        assert gradient.any()


def test_aspects_are_normalised_on_the_validation_images_of_the_training(run, a_dataset):
    _, result = run()
    scorer = load_scorer(result.checkpoint)
    rows = load_rankings(a_dataset(train=24, test=8, rated=True), "validation")
    said = [each for row in rows for each in scorer.score_aspects([row.prompt] * len(row.images), row.images)]
    for name in ("alignment", "fidelity"):
        values = torch.tensor([each[name] for each in said])
        expected = (values.mean().item(), values.std(correction=0).item())
        assert scorer.aspect_scale(name) == pytest.approx(expected, rel=1e-3)


def test_a_head_that_is_not_there_scores_nothing(initial):
    with pytest.raises(NoAspects, match="no head for fidelity"):
        load_scorer(initial).score_aspect("fidelity", ["a red circle"], torch.rand(1, 3, 16, 16))


def test_heads_of_older_checkpoints_read_what_has_met_the_prompt_and_go_on_to_score(
    tmp_path, backbone, tokenizer
):
    model = spread(RewardModel(backbone, ("fidelity",), artifact_heads=False)).eval()
    folder, config = tmp_path / "older", CheckpointConfig(backbone, aspects=("fidelity",))
    checkpoints.save(folder, model=model, tokenizer=tokenizer, config=config)
    scorer = load_scorer(folder)
    images = torch.rand(2, 3, 16, 16)
    red, blue = (scorer.score_aspect("fidelity", [text] * 2, images) for text in ("a red", "a blue"))
    assert not torch.equal(red, blue)
    assert scorer.aspect_scale("fidelity") is None
    assert model.set_aspects(["fidelity"]) == ["fidelity"]  # a run gives it a head that reads patches
    assert isinstance(model.aspect_heads["fidelity"], ArtifactHead)


def test_a_new_head_says_of_every_image_how_often_people_said_yes():
    said = [(True, False), (True, False), (False, False)]
    assert shares(said) == (2.5 / 4, 0.5 / 4)
    assert shares([]) == ()
    head = AspectHead("problems", 5)
    head.start_at([0.1 * n for n in range(1, 8)])
    [row, _] = describe_aspects({"problems": head(torch.randn(2, 5))})
    assert row["problems"] == pytest.approx(dict(zip(PROBLEMS, [0.1 * n for n in range(1, 8)], strict=True)))


def test_a_model_without_aspects_has_the_weights_it_always_had(backbone, model):
    assert not [name for name in model.state_dict() if "aspect" in name]
    assert RewardConfig().aspects == ()
    with_heads = RewardModel(backbone, ASPECTS).eval()
    with_heads.load_state_dict(model.state_dict(), strict=False)
    images = torch.randn(2, 2, 3, 16, 16)
    rewards, said = with_heads.forward_with_aspects(TOKENS, MASK, images)
    assert torch.equal(rewards, model(TOKENS, MASK, images))
    assert {name: tuple(each.shape) for name, each in said.items()} == {"alignment": (2, 2, 6)}
    said = with_heads.forward_features(TOKENS, MASK, with_heads.encode(images[:, 0]))[1]
    assert {name: tuple(each.shape) for name, each in said.items()} == {
        "alignment": (2, 6),
        "fidelity": (2, 6),
        "problems": (2, 7),
    }


def test_each_head_learns_its_own_aspect_and_orders_images_that_it_never_saw(run, a_dataset):
    _, result = run(config=dataclasses.replace(CONFIG, epochs=25, fix_rate=0.0))
    scorer = load_scorer(result.checkpoint)
    right = {"alignment": 0, "fidelity": 0}
    pairs = 0
    for line in (a_dataset(train=24, test=8, rated=True) / "rankings.jsonl").read_text().splitlines():
        row = json.loads(line)
        if row["split"] != "test":
            continue
        files = [result.checkpoint.parent.parent / "dataset" / name for name in row["images"]]
        said = scorer.score_aspects([row["prompt"]] * len(files), files)
        assert all(1 < each["alignment"] < 7 and 1 < each["fidelity"] < 7 for each in said)
        assert all(0 < p < 1 for each in said for p in each["problems"].values())
        for i, j in combinations(range(len(files)), 2):
            redder = row["ratings"]["alignment"][i] - row["ratings"]["alignment"][j]
            if redder:
                pairs += 1
                right["alignment"] += (said[i]["alignment"] - said[j]["alignment"]) * redder > 0
                right["fidelity"] += (said[i]["fidelity"] - said[j]["fidelity"]) * redder < 0
    assert pairs > 20
    assert min(right.values()) > 0.8 * pairs


@pytest.mark.parametrize("more", [{}, {"ema": 0.9, "lora_rank": 2, "precision": "bfloat16"}])
def test_an_interrupted_run_with_aspects_ends_as_one_never_interrupted(run, more):
    config = dataclasses.replace(CONFIG, epochs=2, **more)
    whole, expected = run("whole", config)
    asked = iter(range(1, 3))
    with pytest.raises(Interrupted):
        run("broken", config, should_stop=lambda: next(asked) == 2)
    rest, result = run("broken", config)
    assert rest == whole[2:]
    ours, theirs = (load_file(r.checkpoint / "model.safetensors") for r in (result, expected))
    assert {"aspect_heads.alignment.weight", "aspect_heads.problems.answers.bias"} < ours.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert ours["aspect_heads.fidelity.answers.weight"].any()


def test_a_checkpoint_comes_back_with_its_heads(tmp_path, backbone, tokenizer):
    model = RewardModel(backbone, ("fidelity",)).eval()
    torch.nn.init.normal_(model.aspect_heads["fidelity"].answers.weight)
    folder = tmp_path / "own"
    config = CheckpointConfig(backbone, aspects=("fidelity",), aspect_scales={"fidelity": (4.5, 0.5)})
    checkpoints.save(folder, model=model, tokenizer=tokenizer, config=config)
    read = checkpoints.load(folder)
    assert read.config == config
    ours, theirs = (each.aspect_heads["fidelity"].answers.weight for each in (model, read.model))
    assert torch.equal(ours, theirs)
    assert convert(str(folder), tmp_path / "again", "laurel") == ""
    assert checkpoints.load(tmp_path / "again").config == config


@pytest.mark.parametrize(
    ("aspects", "reason"),
    [
        ([], "unexpected aspect_heads.fidelity.answers.bias"),
        (["fidelity", "problems"], "missing aspect_heads.problems.answers.bias"),
        (["beauty"], "no aspect 'beauty'"),
    ],
)
def test_a_checkpoint_whose_heads_are_not_those_it_names_is_refused(
    tmp_path, backbone, tokenizer, aspects, reason
):
    folder = tmp_path / "own"
    config = CheckpointConfig(backbone, aspects=("fidelity",))
    checkpoints.save(folder, model=RewardModel(backbone, ("fidelity",)), tokenizer=tokenizer, config=config)
    values = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**values, "aspects": aspects}))
    with pytest.raises(CheckpointError, match=reason):
        checkpoints.load(folder)


def test_a_config_that_says_nothing_of_aspects_is_one_without(initial):
    values = json.loads((initial / "config.json").read_text())
    del values["aspects"]
    (initial / "config.json").write_text(json.dumps(values))
    assert checkpoints.load(initial).config.aspects == ()
    with pytest.raises(NoAspects, match="trained without aspects"):
        load_scorer(initial).score_aspects([], [])


def test_a_run_goes_on_with_the_heads_it_starts_from_and_drops_those_it_does_not_train(run):
    _, first = run("first")
    _, second = run("second", dataclasses.replace(CONFIG, aspects=("problems",)), first.checkpoint)
    assert load_scorer(second.checkpoint).config.aspects == ("problems",)
    _, third = run("third", dataclasses.replace(CONFIG, aspects=()), first.checkpoint)
    assert not [name for name in load_file(third.checkpoint / "model.safetensors") if "aspect" in name]


def test_a_dataset_without_ratings_is_refused(run, a_dataset):
    a_dataset()
    with pytest.raises(DatasetError, match="no training ranking says anything of alignment"):
        run()


def test_a_dual_encoder_has_nothing_to_put_such_a_head_on(monkeypatch):
    model = RewardModel.__new__(RewardModel)
    torch.nn.Module.__init__(model)
    model.config = DualConfig({}, ImageInput(), "clip")
    with pytest.raises(CheckpointError, match="a clip model meets its prompt in a cosine alone"):
        model.set_aspects(["fidelity"])


@pytest.mark.parametrize(
    ("aspects", "reason"),
    [
        (["beauty"], "no aspect 'beauty'; there are alignment, fidelity, problems"),
        (["fidelity", "fidelity"], "each be named once"),
        ("fidelity", "a list of names"),
        ([1], "a list of names"),
    ],
)
def test_an_unknown_aspect_is_refused(aspects, reason):
    with pytest.raises(ValueError, match=reason):
        RewardConfig(aspects=aspects)


def test_a_config_with_aspects_comes_back_from_json():
    assert RewardConfig(**json.loads(json.dumps(CONFIG.to_dict()))) == CONFIG
    assert json.loads(json.dumps(CONFIG.to_dict())) == CONFIG.to_dict()


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({"ratings": [1]}, "ratings are of alignment and fidelity"),
        ({"ratings": {"beauty": []}}, "ratings are of alignment and fidelity"),
        ({"ratings": {"alignment": [1]}}, "alignment has not one answer for each of 3 images"),
        ({"ratings": {"fidelity": [1, 8, None]}}, "fidelity is rated from 1 to 7, not 8"),
        ({"ratings": {"fidelity": [1, True, None]}}, "fidelity is rated from 1 to 7, not True"),
        ({"problems": [None]}, "problems has not one answer for each of 3 images"),
        ({"problems": [None, None, [True]]}, "problems are 7 times true or false"),
    ],
)
def test_ratings_that_nobody_can_give_are_refused_by_line(a_dataset, said, reason):
    folder = a_dataset(train=1)
    lines = (folder / "rankings.jsonl").read_text().splitlines()
    lines[0] = json.dumps({**json.loads(lines[0]), **said})
    (folder / "rankings.jsonl").write_text("\n".join(lines))
    with pytest.raises(DatasetError, match=f"line 1: {reason}"):
        load_rankings(folder, "train")


def test_other_ratings_are_other_data_to_resume_on(a_dataset):
    plain = fingerprint(load_rankings(a_dataset(), "train"))
    assert plain == fingerprint(load_rankings(a_dataset(), "train"))
    assert plain != fingerprint(load_rankings(a_dataset(rated=True), "train"))
