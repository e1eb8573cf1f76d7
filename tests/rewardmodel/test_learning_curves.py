"""What more rankings would bring: trainings on parts of a dataset, and the forecast made of them."""

import json

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from annotation.statistics import notation
from annotation.statistics.learning_curve import fit_learning_curve
from rewardmodel.learning.data.rankings import load_rankings
from rewardmodel.learning.training.run import take_share
from rewardmodel.models import DatasetVersion, Evaluation, RewardCheckpoint, TrainingRun
from rewardmodel.selectors import accuracy_forecast
from rewardmodel.services.training import NotTrainable, queue_learning_curve

FINISHED = TrainingRun.State.FINISHED
COUNTS = {
    split: {"rankings": rankings, "pairs": 9, "ties": 1, "prompts": 4, "images": 12}
    for split, rankings in (("train", 240), ("validation", 30), ("test", 30))
}


@pytest.fixture
def a_dataset(project):
    """`a_dataset("a")`: a frozen one of that hash, of 300 rankings."""

    def make(letter: str) -> DatasetVersion:
        return DatasetVersion.objects.create(
            project=project,
            hash=letter * 64,
            folder=letter,
            counts=COUNTS,
            shares={},
            answers=300,
            left_out=0,
        )

    return make


@pytest.fixture
def a_training(project, encoder):
    """`a_training(dataset, 0.5, accuracy=0.7)`: a finished one on that share, measured on its test split."""

    def make(dataset, share=1.0, *, accuracy=None, state=FINISHED) -> TrainingRun:
        run = TrainingRun.objects.create(
            project=project, dataset=dataset, initial=encoder, config={"epochs": 3, "train_share": share}
        )
        TrainingRun.objects.filter(pk=run.pk).update(state=state, finished_at="2026-01-01T00:00Z")
        if accuracy is not None:
            checkpoint = RewardCheckpoint.objects.create(project=project, name=f"reward-{run.pk}", run=run)
            figures = {"accuracy": {"value": accuracy}}
            Evaluation.objects.create(
                project=project, checkpoint=checkpoint, dataset=dataset, split="test", figures=figures
            )
        return run

    return make


@pytest.fixture
def measured(a_dataset, a_training):
    """Trainings on a quarter, half and all of 240 rankings."""
    dataset = a_dataset("a")
    for share, accuracy in ((1.0, 0.74), (0.25, 0.65), (0.5, 0.7)):
        a_training(dataset, share, accuracy=accuracy)
    return dataset


def test_a_smaller_share_of_the_rankings_lies_within_a_larger(tmp_path):
    rows = [
        {"id": str(n), "prompt": f"p{n}", "split": "train", "images": ["a", "b"], "ranking": [1, 2]}
        for n in range(21)
    ]
    (tmp_path / "rankings.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    whole = load_rankings(tmp_path, "train")
    quarter, half, rest = (take_share(whole, share) for share in (0.25, 0.5, 1.0))
    names = [{ranking.id for ranking in part} for part in (quarter, half, rest)]
    assert [len(part) for part in names] == [5, 10, 21]
    assert names[0] < names[1] < names[2]
    assert sorted(names[1], key=int) != [str(n) for n in range(10)]


@pytest.mark.django_db(transaction=True)
def test_what_learned_from_a_part_is_measured_but_never_promoted_by_itself(project, encoder, rank):
    rank(16)
    settings = ["epochs=8", "learning_rate=0.003", "batch_pairs=6", "fix_rate=0.0", "train_share=0.5"]
    call_command("train_reward_model", project.slug, set=settings)
    run = TrainingRun.objects.get()
    whole = run.dataset.counts["train"]["rankings"]
    assert run.is_partial
    assert run.rankings == round(whole / 2)
    assert run.steps == 8 * -(-run.rankings // 2)  # two lists of three pairs a batch
    assert run.checkpoint.accuracy is not None
    assert (run.checkpoint.promoted, run.checkpoint.verdict) == (False, "")
    assert Evaluation.objects.get(checkpoint=run.checkpoint).split == "test"


def test_the_forecast_is_of_the_rankings_that_are_learned_from(project, measured):
    forecast = accuracy_forecast(project, [300, 30])
    assert forecast.points == [(60, 0.65), (120, 0.7), (240, 0.74)]
    curve = fit_learning_curve([60, 120, 240], [0.65, 0.7, 0.74])
    assert forecast.now == curve.forecast(240)
    assert forecast.more == {300: curve.forecast(480), 30: curve.forecast(264)}  # four fifths are to train
    assert list(accuracy_forecast(project).more) == [150, 300, 900]


def test_the_newest_dataset_with_enough_sizes_is_forecast_on(project, measured, a_dataset, a_training):
    a_training(a_dataset("b"), accuracy=0.8)
    assert accuracy_forecast(project).dataset == measured


def test_a_model_that_may_have_learned_from_the_test_prompts_is_no_point(
    project, measured, a_dataset, a_training
):
    earlier = a_dataset("b")
    alike, otherwise = a_training(earlier), a_training(a_dataset("c"))
    DatasetVersion.objects.filter(pk=otherwise.dataset_id).update(
        shares={"train": 0.5, "validation": 0.25, "test": 0.25}
    )
    for run, accuracy in ((alike, 0.75), (otherwise, 0.9)):
        checkpoint = RewardCheckpoint.objects.create(project=project, name=f"reward-{run.pk}", run=run)
        figures = {"accuracy": {"value": accuracy}}
        Evaluation.objects.create(
            project=project, checkpoint=checkpoint, dataset=measured, split="test", figures=figures
        )
    points = [(60, 0.65), (120, 0.7), (240, 0.74), (240, 0.75)]
    assert accuracy_forecast(project).points == points
    assert accuracy_forecast(project).left_out == 1


@pytest.mark.parametrize("others", [{"config": {"epochs": 1, "train_share": 0.5}}, {"initial": None}])
def test_trainings_made_otherwise_than_the_newest_whole_one_are_no_points_of_its_curve(
    project, encoder, measured, a_training, others, capsys
):
    if "initial" in others:
        others = {"initial": RewardCheckpoint.objects.create(project=project, name="another", folder="x")}
    run = a_training(measured, 0.5, accuracy=0.9)
    TrainingRun.objects.filter(pk=run.pk).update(**others)
    seeded = a_training(measured, 0.5, accuracy=0.71)
    TrainingRun.objects.filter(pk=seeded.pk).update(config={"epochs": 3, "seed": 7, "train_share": 0.5})
    forecast = accuracy_forecast(project)
    assert forecast.points == [(60, 0.65), (120, 0.7), (120, 0.71), (240, 0.74)]
    assert forecast.left_out == 1
    call_command("forecast_accuracy", project.slug)
    assert "1 left out: begun from another model" in capsys.readouterr().out


def test_too_few_sizes_are_counted(project, a_dataset, a_training):
    assert accuracy_forecast(project).reason == "0 of 3 numbers of rankings were learned from"
    dataset = a_dataset("a")
    for share, accuracy in ((1.0, 0.74), (1.0, 0.75), (0.25, 0.65)):
        a_training(dataset, share, accuracy=accuracy)
    assert accuracy_forecast(project).reason == "2 of 3 numbers of rankings were learned from"


def test_a_curve_is_measured_on_what_the_newest_whole_training_lacks(project, a_dataset, a_training, ada):
    whole = a_training(a_dataset("a"))
    a_training(whole.dataset, 0.5, state=TrainingRun.State.FAILED)
    with CaptureQueriesContext(connection) as asked:
        runs = queue_learning_curve(project=project, by=ada)
    first = next(query["sql"] for query in asked if query["sql"].startswith("SELECT"))
    assert 'FROM "annotation_project"' in first  # who asks at the same time waits
    assert "FOR NO KEY UPDATE" in first
    assert [(run.dataset, run.initial, run.train_share) for run in runs] == [
        (whole.dataset, whole.initial, 0.25),
        (whole.dataset, whole.initial, 0.5),
    ]
    assert {(run.config["epochs"], run.requested_by) for run in runs} == {(3, ada)}
    with pytest.raises(NotTrainable, match="were asked for already"):
        queue_learning_curve(project=project)


def test_nothing_is_measured_before_a_whole_training_or_on_a_handful(project, a_dataset, a_training):
    with pytest.raises(NotTrainable, match="train a model on all rankings first"):
        queue_learning_curve(project=project)
    few = a_dataset("a")
    few.counts = {**COUNTS, "train": {**COUNTS["train"], "rankings": 39}}
    few.save()
    a_training(few)
    with pytest.raises(NotTrainable, match="a quarter of 39 training rankings is fewer than 10"):
        queue_learning_curve(project=project)
    assert TrainingRun.objects.count() == 1


def test_an_admin_reads_the_forecast_and_asks_for_it(client, ada, project, a_dataset, a_training):
    client.force_login(ada)
    page, button = (
        reverse(name, args=[project.slug]) for name in ("project-models", "measure-learning-curve")
    )
    assert "0 of 3 numbers of rankings" in client.get(page).content.decode()
    assert client.post(button).status_code == 422
    dataset = a_dataset("a")
    a_training(dataset, accuracy=0.74)
    assert client.post(button).url == page
    for run, accuracy in zip(
        TrainingRun.objects.filter(state="queued").order_by("pk"), (0.65, 0.7), strict=True
    ):
        TrainingRun.objects.filter(pk=run.pk).update(state=FINISHED, finished_at="2026-01-01T00:00Z")
        made = RewardCheckpoint.objects.create(project=project, name=f"reward-{run.pk}", run=run)
        figures = {"accuracy": {"value": accuracy}}
        Evaluation.objects.create(
            project=project, checkpoint=made, dataset=dataset, split="test", figures=figures
        )
    text = " ".join(client.get(page).content.decode().split())
    ahead = accuracy_forecast(project, [300]).more[300]
    assert f'300 more</th><td class="number">480</td><td class="number">{100 * ahead.value:.1f}' in text
    assert "of 25.0 % of the rankings" in text
    assert button not in text  # until there is a newer dataset
    a_training(a_dataset("b"))
    assert button in client.get(page).content.decode()


def test_the_api_gives_the_forecast_that_was_asked_for(client, ada, project, measured):
    client.force_login(ada)
    url = reverse("api-learning-curve", args=[project.slug])
    said = client.get(url, {"more": [100, 500]}).json()
    expected = accuracy_forecast(project, [100, 500])
    assert said["dataset"] == measured.hash
    assert said["points"] == [[60, 0.65], [120, 0.7], [240, 0.74]]
    assert said["more"]["500"]["value"] == expected.more[500].value
    assert list(said["more"]) == ["100", "500"]
    assert client.get(url, {"more": 0}).status_code == 400
    assert client.post(url).status_code == 409
    Evaluation.objects.all().delete()
    assert client.get(url).status_code == 409


def test_the_command_prints_the_forecast_or_says_what_it_needs(project, measured, capsys):
    call_command("forecast_accuracy", project.slug, "--more", "300")
    ahead = accuracy_forecast(project, [300]).more[300]
    ends = notation.percent_interval(ahead.low, ahead.high)
    assert f"300 rankings more: {notation.percent(ahead.value)} ({ends})" in capsys.readouterr().out
    with pytest.raises(CommandError, match="were asked for already"):
        call_command("forecast_accuracy", project.slug, "--measure")
    with pytest.raises(CommandError, match="1 ranking more"):
        call_command("forecast_accuracy", project.slug, "--more", "0")
    TrainingRun.objects.exclude(config__train_share=1.0).update(state=TrainingRun.State.FAILED)
    call_command("forecast_accuracy", project.slug, "--measure")
    assert "on 60 rankings" in capsys.readouterr().out
    Evaluation.objects.all().delete()
    with pytest.raises(CommandError, match="0 of 3 numbers"):
        call_command("forecast_accuracy", project.slug)
