"""Models measured on datasets: what a run leaves, what the pages show of it, and who may see them."""

import csv
import json
from pathlib import Path

import pytest
from django.core.files.storage import default_storage
from django.core.management import CommandError, call_command
from django.urls import reverse
from django.utils.html import escape
from django.utils.timezone import now

from annotation.models import Assignment, Generation, Image, PromptLabel
from rewardmodel.learning.errors import Interrupted
from rewardmodel.models import DatasetVersion, Evaluation, EvaluationRun
from rewardmodel.runs import states
from rewardmodel.selectors import evaluation_table
from rewardmodel.services.checkpoints import promote, register_checkpoint
from rewardmodel.services.datasets import freeze_dataset
from rewardmodel.services.evaluations import CannotEvaluate, evaluate_models, queue_evaluation, record_figures
from rewardmodel.services.splits import Shares
from rewardmodel.services.unreadable import TooManyUnreadable
from tests.rewardmodel.tiny_baselines import write_aesthetic, write_clip

pytestmark = pytest.mark.django_db(transaction=True)  # a run's heart beats in a thread of its own


class Heart:
    """Stands for a run's: stops it after so many reports."""

    def __init__(self, stops_after=99):
        self.reports, self.stops_after = [], stops_after

    def should_stop(self):
        return len(self.reports) >= self.stops_after

    def report(self, *, step, steps, values):
        self.reports.append((step, steps))


@pytest.fixture
def dataset(project, rank):
    rank(16)
    return freeze_dataset(project=project)


@pytest.fixture
def other(project, encoder_folder):
    return register_checkpoint(project=project, name="other", folder=str(encoder_folder))


def figures(accuracy=0.65, **others):
    """As `report` gives them, of nothing much."""
    estimate = {
        "value": accuracy,
        "low": accuracy - 0.03,
        "high": accuracy + 0.03,
        "count": 900,
        "prompts": 80,
    }
    bins = [
        {"confidence": 0.55, "accuracy": 0.52, "pairs": 400},
        {"confidence": 0.9, "accuracy": 0.7, "pairs": 500},
    ]
    calibrated = {"temperature": 1.0, "error": 0.08, "low": 0.05, "high": 0.11, "loss": 0.6, "bins": bins}
    picks = [
        {"n": n, "model": {**estimate, "value": 3 - n / 4}, "people": 3 - n / 2, "chance": 3.0}
        for n in (1, 2, 3)
    ]
    box = [0.1, 0.3, 0.5, 0.7, 0.9]
    makers = [
        {
            "name": name,
            "images": 40,
            "mean": 0.5 - at,
            "wins": 30 - at,
            "compared": 60,
            "win_share": 0.6,
            "box": box,
        }
        for at, name in enumerate(("stable", "cog", "open"))
    ]
    return {
        "accuracy": estimate,
        "accuracy_by_prompt": estimate,
        "rankings": 100,
        "ceiling": None,
        "recall": [{"k": 1, **estimate, "value": 0.4, "low": 0.3, "chance": 0.25}],
        "filter": [{"k": 1, **estimate, "value": 0.45, "low": 0.3, "chance": 0.25}],
        "by_category": [{"name": "People", **estimate}, {"name": "Arts", **estimate}],
        "by_agreement": [{"name": "90 % and more", **estimate}],
        "by_images": [{"number": 4, **estimate}],
        "by_gap": [{"number": 1, **estimate}, {"number": 2, **estimate}],
        "by_margin": [{"distance": d, **estimate} for d in (0.1, 0.8)],
        "best_of_n": picks,
        "calibration": [calibrated, {**calibrated, "temperature": 1.7, "error": 0.02}],
        "generators": {"generators": makers, "correlation": 0.5, "low": -0.5, "high": 1.0},
        "aspects": None,
        **others,
    }


@pytest.fixture
def measured(project, encoder):
    counts = {"test": {"rankings": 100, "pairs": 900, "ties": 9, "prompts": 80, "images": 400}}
    dataset = DatasetVersion.objects.create(
        project=project,
        hash="ab" * 32,
        folder="f",
        counts=counts,
        shares={},
        answers=9,
        left_out=0,
        ceiling=0.77,
    )
    return record_figures(encoder, dataset=dataset, split="test", figures=figures())


def test_a_run_measures_every_model_on_every_dataset(project, encoder, other, dataset, rank):
    rank(8)
    newer = freeze_dataset(project=project)
    run = queue_evaluation(project=project, checkpoints=[encoder, other], datasets=[dataset, newer])
    heart = Heart()
    evaluate_models(run, heart)
    assert heart.reports == [(step, 4) for step in (1, 2, 3, 4)]
    assert run.evaluations.count() == 4
    one = run.evaluations.get(checkpoint=encoder, dataset=dataset)
    assert one.figures["accuracy"]["count"] == dataset.counts["test"]["pairs"] == 3
    assert sum(one.figures["counts"]["pairs"]) == 3
    assert len(one.figures["calibration"]) == 2  # the temperature was fitted to the validation split
    assert one.figures["by_category"] == []  # the project asks for no labels


def test_interrupted_it_goes_on_with_what_it_has_not_measured(project, encoder, other, dataset):
    run = queue_evaluation(project=project, checkpoints=[encoder, other], datasets=[dataset])
    with pytest.raises(Interrupted):
        evaluate_models(run, Heart(stops_after=1))
    [first] = run.evaluations.all()
    evaluate_models(run, Heart())
    assert run.evaluations.count() == 2
    first_again = Evaluation.objects.get(pk=first.pk)
    assert first_again.measured_at == first.measured_at


def test_measuring_again_takes_the_place_of_what_was_measured_before(project, encoder, dataset):
    for _ in range(2):
        run = queue_evaluation(project=project, checkpoints=[encoder], datasets=[dataset])
        evaluate_models(run, Heart())
    assert Evaluation.objects.get().run == run


def test_baselines_stand_beside_checkpoints_in_one_table(
    client, ada, project, encoder, dataset, tmp_path, settings
):
    settings.BASELINES_DIR = tmp_path
    write_clip(tmp_path)
    write_aesthetic(tmp_path)
    names = ["CLIP", "Aesthetic"]
    run = queue_evaluation(project=project, checkpoints=[encoder], baselines=names, datasets=[dataset])
    with pytest.raises(Interrupted):
        evaluate_models(run, Heart(stops_after=2))
    heart = Heart()
    evaluate_models(run, heart)
    assert heart.reports == [(step, 3) for step in (1, 2, 3)]
    assert {one.model for one in run.evaluations.all()} == {"encoder", *names}
    clip = run.evaluations.get(baseline="CLIP")
    assert clip.figures["accuracy"]["count"] == 3
    client.force_login(ada)
    page = client.get(reverse("evaluations", args=[project.slug])).content.decode()
    assert page.count('<span class="badge">baseline</span>') == 2
    assert client.get(reverse("evaluation", args=[project.slug, clip.pk])).status_code == 200
    told = client.get(reverse("api-evaluations", args=[project.slug])).json()["results"]
    assert {one["model"] for one in told} == {"encoder", *names}


def test_a_checkpoint_called_as_a_baseline_keeps_its_own_row(project, encoder_folder, measured):
    same = register_checkpoint(project=project, name="CLIP", folder=str(encoder_folder))
    for model, accuracy in ((same, 0.6), ("CLIP", 0.55)):
        record_figures(model, dataset=measured.dataset, split="test", figures=figures(accuracy))
    rows = [(row.name, row.is_baseline) for row in evaluation_table(project).rows]
    assert rows == [("encoder", False), ("CLIP", False), ("CLIP", True)]


def test_a_baseline_whose_files_are_missing_fails_the_run_and_says_what_to_fetch(
    project, dataset, tmp_path, settings, monkeypatch
):
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # nobody listens there
    settings.BASELINES_DIR = tmp_path
    run = queue_evaluation(project=project, baselines=["BLIP"], datasets=[dataset])
    with pytest.raises(CannotEvaluate, match=r"BLIP: .*fetch https://.*/model_large\.pth and put it there"):
        evaluate_models(run, Heart())
    with pytest.raises(CannotEvaluate, match="no baseline 'HPS'; there are CLIP, BLIP, Aesthetic"):
        queue_evaluation(project=project, baselines=["HPS"], datasets=[dataset])


def test_the_command_measures_baselines_too(project, encoder, dataset, tmp_path, settings, capsys):
    settings.BASELINES_DIR = tmp_path
    write_clip(tmp_path)
    call_command("evaluate_reward_model", project.slug, baseline=["CLIP"])
    assert "CLIP on test" in capsys.readouterr().out
    call_command("evaluate_reward_model", project.slug, checkpoint=["encoder"], baseline=["CLIP"])
    first, second = capsys.readouterr().out.splitlines()[-2:]
    assert first.startswith("encoder on test")
    assert second.startswith("CLIP on test")


def test_categories_and_generators_are_taken_from_the_project(project, encoder, dataset):
    for number, assignment in enumerate(Assignment.objects.filter(project=project)):
        PromptLabel.objects.create(assignment=assignment, category="arts" if number % 2 else "people")
    for number, generation in enumerate(Generation.objects.order_by("pk")):
        generation.generator = f"generator {number % 3}"
        generation.save(update_fields=["generator"])
    run = queue_evaluation(project=project, checkpoints=[encoder], datasets=[dataset], split="train")
    evaluate_models(run, Heart())
    found = run.evaluations.get().figures
    assert {one["name"] for one in found["by_category"]} == {"Arts", "People"}
    assert [one["name"] for one in found["generators"]["generators"]] == [
        f"generator {number}"
        for number in (2, 1, 0)  # as alice ranks: the last image is the best
    ]


def test_a_run_of_nothing_or_on_an_empty_split_is_refused(project, encoder, dataset):
    with pytest.raises(CannotEvaluate, match="at least one"):
        queue_evaluation(project=project, checkpoints=[], datasets=[dataset])
    DatasetVersion.objects.update(counts={"test": {"pairs": 0}})
    dataset.refresh_from_db()
    with pytest.raises(CannotEvaluate, match="no two images"):
        queue_evaluation(project=project, checkpoints=[encoder], datasets=[dataset])
    assert not EvaluationRun.objects.exists()


def test_a_model_that_is_gone_fails_the_run_and_says_which(project, dataset, tmp_path):
    gone = register_checkpoint(project=project, name="gone", folder=str(tmp_path / "gone"))
    run = queue_evaluation(project=project, checkpoints=[gone], datasets=[dataset])
    with pytest.raises(CannotEvaluate, match="no such checkpoint"):
        evaluate_models(run, Heart())


def test_the_command_measures_the_promoted_model_or_all(project, encoder, other, rank, capsys):
    with pytest.raises(CommandError, match="no reward model is promoted"):
        call_command("evaluate_reward_model", project.slug)
    promote(encoder, now=now())
    with pytest.raises(CommandError, match="no dataset is frozen"):
        call_command("evaluate_reward_model", project.slug)
    rank(16)
    freeze_dataset(project=project)
    call_command("evaluate_reward_model", project.slug)
    told = capsys.readouterr().out
    assert "encoder on test" in told
    assert "of 3 pairs" in told
    assert "recall@1" in told
    call_command("evaluate_reward_model", project.slug, checkpoint=["all"], dataset=["all"])
    assert "other on test" in capsys.readouterr().out
    with pytest.raises(CommandError, match="no checkpoint 'nope'"):
        call_command("evaluate_reward_model", project.slug, checkpoint=["nope"])


def test_the_table_has_models_by_datasets_with_people_beside(client, ada, project, measured, other):
    record_figures(other, dataset=measured.dataset, split="test", figures=figures(0.71))
    client.force_login(ada)
    page = client.get(reverse("evaluations", args=[project.slug])).content.decode()
    for words in ("65.0 %", "62.0 to 68.0", "77.0 %", measured.dataset.hash[:12], "Measure"):
        assert words in page, words
    assert page.index("71.0 %") < page.index("65.0 %")  # the better one first


def counted(*right):
    """Figures of four pairs of each prompt, so many of them ordered right."""
    return figures(sum(right) / (4 * len(right)), counts={"pairs": [4] * len(right), "right": list(right)})


def test_leads_are_over_the_promoted_model_or_the_one_asked_for(client, ada, project, measured, other):
    better, worse = counted(*[4, 3] * 10), counted(*[3, 2] * 10)
    record_figures(measured.checkpoint, dataset=measured.dataset, split="test", figures=worse)
    record_figures(other, dataset=measured.dataset, split="test", figures=better)
    record_figures("CLIP", dataset=measured.dataset, split="test", figures=figures(0.5))
    promote(measured.checkpoint, now=now())
    [first, second, baseline] = evaluation_table(project).rows
    lead = first.cells[0].lead
    assert (first.name, lead.value, lead.low, lead.high) == ("other", 0.25, 0.25, 0.25)
    assert second.cells[0].lead is None
    assert baseline.cells[0].lead is None  # measured on other pairs, or before they were kept
    client.force_login(ada)
    path = reverse("evaluations", args=[project.slug])
    assert "+25.0</b> (+25.0 to +25.0)" in client.get(path).text
    assert "\N{MINUS SIGN}25.0</b>" in client.get(path, {"beside": other.pk}).text
    assert client.get(path, {"beside": "nobody"}).status_code == 200


def test_too_few_prompts_have_no_lead_and_say_so(client, ada, project, measured, other):
    for model, right in ((measured.checkpoint, 2), (other, 3)):
        record_figures(model, dataset=measured.dataset, split="test", figures=counted(*[right] * 9))
    client.force_login(ada)
    assert "lead: 9 of 10 prompts" in client.get(reverse("evaluations", args=[project.slug])).text


def test_the_table_is_downloaded_with_its_leads(client, ada, project, measured, other):
    for model, right in ((measured.checkpoint, 2), (other, 3)):
        record_figures(model, dataset=measured.dataset, split="test", figures=counted(*[right] * 20))
    client.force_login(ada)
    answer = client.get(reverse("evaluations-table", args=[project.slug]), {"beside": measured.checkpoint_id})
    lines = list(csv.DictReader(answer.getvalue().decode().splitlines()))
    told = [
        (one["model"], one["accuracy"], one["people"], one["compared_with"], one["lead"]) for one in lines
    ]
    assert told == [("other", "0.75", "0.77", "encoder", "0.25"), ("encoder", "0.5", "0.77", "", "")]


def test_one_evaluation_shows_every_figure(client, ada, project, measured):
    client.force_login(ada)
    page = client.get(reverse("evaluation", args=[project.slug, measured.pk])).content.decode()
    for words in (
        "Recall",
        "@1",
        "blind 25.0 %",
        "People",
        "90 % and more",
        "at temperature 1.70",
        "stable",
        "0.50",
    ):
        assert words in page, words
    little = figures(by_category=[], by_agreement=[], generators=None, recall=[], filter=[])
    record_figures(measured.checkpoint, dataset=measured.dataset, split="test", figures=little)
    page = client.get(reverse("evaluation", args=[project.slug, measured.pk])).content.decode()
    assert "By category" not in page
    assert "Generators" not in page.split("project-tabs")[1]


def test_the_page_of_a_model_with_heads_says_how_far_they_agree_with_people(client, ada, project, measured):
    estimate = {"value": 0.44, "low": 0.31, "high": 0.56, "count": 320, "prompts": 80}
    aspects = {
        "ratings": [{"name": "fidelity", "pearson": estimate, "spearman": {**estimate, "value": 0.47}}],
        "problems": [{"name": "blurry", "auc": 0.75, "share": 0.153, "count": 320}],
    }
    record_figures(
        measured.checkpoint, dataset=measured.dataset, split="test", figures=figures(aspects=aspects)
    )
    client.force_login(ada)
    page = client.get(reverse("evaluation", args=[project.slug, measured.pk])).content.decode()
    section = page.split('id="aspects"')[1].split("</section>")[0]
    for words in ("fidelity", "0.44", "0.31 to 0.56", "0.47", "blurry", "15.3 %", "0.75"):
        assert words in section, words


def test_a_baselines_page_leads_to_the_table_beside_it_and_to_no_training(client, ada, project, measured):
    clip = record_figures("CLIP", dataset=measured.dataset, split="test", figures=figures(0.5))
    client.force_login(ada)
    for one, key in ((clip, "CLIP"), (measured, str(measured.checkpoint_id))):
        page = client.get(reverse("evaluation", args=[project.slug, one.pk])).text
        assert f'{reverse("evaluations", args=[project.slug])}?beside={key}"' in page
        assert f'href="{measured.dataset.get_absolute_url()}"' in page
        assert "How it was trained" not in page  # the other was registered


def test_researchers_see_what_is_measured_and_start_nothing(client, project, measured, eve):
    project.memberships.create(user=eve, role="researcher")
    client.force_login(eve)
    page = client.get(reverse("evaluations", args=[project.slug]))
    assert page.status_code == 200
    assert "Measure" not in page.content.decode()
    assert client.get(reverse("evaluation", args=[project.slug, measured.pk])).status_code == 200
    assert client.get(reverse("api-evaluations", args=[project.slug])).json()["results"]
    assert client.post(reverse("evaluate-now", args=[project.slug])).status_code == 404


@pytest.mark.parametrize("who", ["alice", "rita", "eve"])
def test_for_everybody_else_there_is_nothing(client, request, project, measured, who):
    client.force_login(request.getfixturevalue(who))
    for name, *rest in (
        ("evaluations",),
        ("evaluations-table",),
        ("evaluation", measured.pk),
        ("api-evaluations",),
    ):
        assert client.get(reverse(name, args=[project.slug, *rest])).status_code == 404, name


def test_an_evaluation_of_another_project_is_not_found(client, ada, a_project, measured):
    client.force_login(ada)
    assert client.get(reverse("evaluation", args=[a_project().slug, measured.pk])).status_code == 404


def test_the_button_queues_a_run_and_its_page_says_what_came_out(client, ada, project, encoder, dataset):
    client.force_login(ada)
    path = reverse("evaluate-now", args=[project.slug])
    assert client.post(path, {"split": "test"}).status_code == 422
    nothing = {"datasets": [dataset.pk], "split": "test"}
    assert "at least one model" in client.post(path, nothing).content.decode()
    sent = {"checkpoints": [encoder.pk], **nothing}
    answer = client.post(path, sent)
    run = EvaluationRun.objects.get()
    assert answer.url == reverse("evaluation-run", args=[project.slug, run.pk])
    states.claim(run, now=now())
    evaluate_models(run, Heart())
    page = client.get(answer.url).content.decode()
    assert reverse("evaluation", args=[project.slug, run.evaluations.get().pk]) in page


def test_programs_read_the_figures(client, ada, project, measured):
    client.force_login(ada)
    [told] = client.get(reverse("api-evaluations", args=[project.slug])).json()["results"]
    assert (told["model"], told["split"], told["ceiling"]) == ("encoder", "test", 0.77)
    assert told["figures"]["accuracy"]["value"] == 0.65


def test_the_page_shows_the_pairs_on_which_the_model_is_most_confident(
    client, ada, project, encoder, dataset
):
    run = queue_evaluation(project=project, datasets=[dataset], checkpoints=[encoder])
    states.claim(run, now=now())
    evaluate_models(run, Heart())
    (measured,) = Evaluation.objects.all()
    pairs = [pair for kind in ("right", "wrong") for pair in measured.figures["examples"][kind]]
    assert pairs
    client.force_login(ada)
    page = client.get(reverse("evaluation", args=[project.slug, measured.pk])).text
    for pair in pairs:
        for name in ("preferred", "other"):
            image = Generation.objects.get(prompt__text=pair["prompt"], image=pair[name])
            assert f'/images/{image.image.token}/small" alt="{pair["prompt"]}"' in page
            assert reverse("project-prompt", args=[project.slug, image.prompt_id]) in page
        assert pair[name] not in page
    assert page.count('class="pair"') == len(pairs)
    assert page.count("percentile</span>") == page.count(" preferred<span") == 2 * len(pairs)
    standing, other = pairs[0]["standing"], pairs[0]["other_standing"]
    assert 0 <= standing["percentile"] <= 100
    assert (standing["preferred"] > other["preferred"]) == (pairs[0]["reward"] > pairs[0]["other_reward"])
    assert escape(measured.figures["examples"]["over"]) in page


def test_examples_of_images_that_are_gone_say_so_and_old_figures_ask_to_be_measured_again(
    client, ada, rosa, project, measured
):
    address = reverse("evaluation", args=[project.slug, measured.pk])
    client.force_login(ada)
    assert "Measure it again" in client.get(address).text
    gone = {"prompt": "a lost fox", "preferred": "00" * 32, "other": "11" * 32}
    gone |= {"votes": 3, "other_votes": 1, "reward": 0.25, "other_reward": 2.5}
    examples = figures(examples={"right": [], "wrong": [gone]})
    record_figures(measured.checkpoint, dataset=measured.dataset, split="test", figures=examples)
    client.force_login(rosa)
    page = client.get(address).text
    for words in ("Most confident, and wrong", "a lost fox", "3 votes", "1 vote<", "2.500"):
        assert words in page, words
    assert page.count("No file") == 2
    assert "and right" not in page


def test_rankings_with_an_image_that_cannot_be_read_are_left_out_and_the_run_names_them(
    project, encoder, rank, ada, client
):
    rank(12)
    dataset = freeze_dataset(project=project, shares=Shares(0.2, 0.2, 0.6))
    rows = [json.loads(line) for line in (dataset.path / "rankings.jsonl").read_text().splitlines()]
    name = next(row["images"][0] for row in rows if row["split"] == "test")
    Image.objects.get(sha256=Path(name).stem).file.storage.delete(name)
    run = queue_evaluation(project=project, checkpoints=[encoder], datasets=[dataset])
    evaluate_models(run, Heart())
    assert run.evaluations.get().figures["accuracy"]["count"] == dataset.counts["test"]["pairs"] - 3
    client.force_login(ada)
    page = client.get(reverse(run.page, args=[project.slug, run.pk])).text
    assert "1 of 33 images cannot be read and was passed over" in page
    assert f"{Path(name).name}: no such image" in page

    for row in rows:
        for image in row["images"]:
            Path(default_storage.path(image)).unlink(missing_ok=True)
    again = queue_evaluation(project=project, checkpoints=[encoder], datasets=[dataset])
    with pytest.raises(TooManyUnreadable, match=r"images cannot be read: .*; and \d+ more"):
        evaluate_models(again, Heart())
