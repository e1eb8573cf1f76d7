"""One round of the whole loop, with the shipped models: small, but nothing in it is left out."""

import re
from dataclasses import asdict

import pytest
from django.core.management import CommandError, call_command

from annotation.models import Assignment, Generation
from annotation.statistics.notation import MINUS
from demo.loop import LoopBusy, alone_in, without_reward
from demo.seeding import HASTY, SHIPPED, ensure_project
from demo.settings import TUNING_CONFIG
from refl.learning.config import TuningConfig
from refl.models import Generator, SamplingRun, TuningPolicy, TuningRun
from refl.selectors.generators import newest_kept
from refl.services.sampling import SamplingConfig
from rewardmodel.models import DatasetVersion, RewardCheckpoint, TrainingPolicy
from tests.workers import database_url

TASKS = 24


@pytest.mark.django_db(transaction=True)
def test_a_round_annotates_trains_tunes_judges_and_makes_new_work(capsys, monkeypatch, settings):
    # Runs are processes of their own: they see the same rows and the same image files.
    monkeypatch.setenv("DATABASE_URL", database_url())
    settings.MEDIA_ROOT = settings.VAR / "images"
    project = ensure_project("loop", name="loop", enabled=False)
    TrainingPolicy.objects.update(config={"epochs": 1, "validations_per_epoch": 1})
    TuningPolicy.objects.update(
        config={
            **{"updates": 2, "batch_size": 2, "steps": 4, "late_steps": [1, 2], "sample_steps": 4},
            "guard_prompts": 4,
        }
    )
    under_way = SamplingRun.objects.create(
        project=project,
        generator=newest_kept(project),
        config=asdict(SamplingConfig(pool=(), prompts=0, per_prompt=1)),
    )
    call_command(
        "run_loop",
        "loop",
        "--rounds",
        "1",
        "--annotators",
        "2",
        "--assignments",
        str(TASKS),
        "--held-out",
        "4",
    )

    printed = capsys.readouterr().out
    under_way.refresh_from_db()
    assert under_way.state == "finished"
    assert re.search(rf"annotations +{TASKS}\n", printed)
    assert re.search(r"test accuracy +0\.\d+ \(0\.\d+ to [01]\.\d+\)", printed)
    assert re.search(r"over shipped encoder", printed)
    number = rf"[+{MINUS}]\d\.\d+"
    change = rf" +{number} \({number} to {number}\)"
    for part in ("score", "alignment", "taste", "cleanliness", "shown rightly", "diversity"):
        assert re.search(rf"{part} +\d\.\d+ +\d\.\d+ +\d\.\d+{change}{change}\n", printed)
    assert re.search(r"preferred blind over before +(\d\.\d+|none) of ", printed)
    assert re.search(r"diversity, of that before +\d+ %", printed)
    assert DatasetVersion.objects.get(project=project).ceiling > 0.6
    assert RewardCheckpoint.objects.filter(project=project).count() == 2
    control, tuned = TuningRun.objects.order_by("pk")
    assert TuningConfig(**control.config).is_control
    assert not TuningConfig(**tuned.config).is_control
    assert control.config["guard_every"] == 0 < tuned.config["guard_every"]
    assert tuned.points.get(step=0).values.keys() >= {"guards/diversity", "guards/tuned_reward"}
    assert Generator.objects.get(run=control).kept is False
    result = Generator.objects.get(run=tuned)  # two updates may leave it kept or not: its images follow that
    sources = {SHIPPED, HASTY, result.name} if result.kept else {SHIPPED, HASTY}
    assert set(Generation.objects.values_list("generator", flat=True)) == sources
    newest = SamplingRun.objects.latest("pk")
    assert newest.state == "finished"
    assert Assignment.objects.filter(project=project, state="open").count() == TASKS
    assert Generation.objects.filter(prompt__assignments__state="open", image=None).count() == 0


STAGES = [{"method": "selected", "selection": "raft", "updates": 3}, {"method": "draft", "updates": 2}]


@pytest.mark.parametrize(
    ("values", "updates"),
    [
        (TUNING_CONFIG.to_dict(), [stage["updates"] for stage in TUNING_CONFIG.stages]),
        ({"updates": 5}, [5]),
        ({"method": "selected", "selection": "weighted", "updates": 5}, [5]),
        ({"method": "dpo", "updates": 5}, [5]),
        ({"method": "nft", "ema": 0.9, "updates": 5}, [5]),
        ({"updates": 7, "stages": STAGES}, [3, 2]),
    ],
)
def test_a_control_makes_as_many_updates_on_pairs_that_nothing_chose(values, updates):
    control = TuningConfig(**without_reward(values))
    assert control.is_control
    assert [stage.updates for stage in control.stage_configs()] == updates


@pytest.mark.django_db
def test_one_loop_at_a_time_works_on_a_project(project, a_project):
    with alone_in(project):
        with pytest.raises(LoopBusy, match=f"another run_loop works on {project.slug}"):
            alone_in(project).__enter__()
        with alone_in(a_project()):
            pass
    with alone_in(project):
        pass


@pytest.mark.django_db
def test_a_second_loop_is_refused_and_leaves_the_firsts_schedule_alone():
    project = ensure_project("loop", name="loop", enabled=True)
    with alone_in(project), pytest.raises(CommandError, match="another run_loop works on loop"):
        call_command("run_loop", "loop")
    assert TrainingPolicy.objects.get(project=project).enabled


@pytest.mark.django_db
def test_more_annotators_than_there_are_accounts_are_refused():
    with pytest.raises(CommandError, match="1 to 8"):
        call_command("run_loop", "loop", "--annotators", "9")
