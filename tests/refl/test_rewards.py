"""What a run is tuned on: which names are rewards, what is refused, and what stays apart to judge it."""

import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse

from refl.admin import TuningPolicyForm
from refl.models import Generator, TuningRun
from refl.selectors.rewards import held_out_rewards, rewards_of
from refl.services.rewards import CannotLoadReward, load_held_out, load_mixture
from refl.services.tuning import CannotTune, queue_tuning
from rewardmodel.services.checkpoints import register_checkpoint
from tests.refl.conftest import QUICK, save_reward_model

PROMPTS = ["a red fox w", "a blue owl z"]


def redness(prompts, images):
    return images[:, 0].mean(dim=(1, 2))


REDNESS = f"{__name__}:redness"


@pytest.fixture
def judged(project, tmp_path):
    """A registered reward model with heads beside its reward's."""
    save_reward_model(tmp_path / "judged", seed=3, aspects=("fidelity", "problems"))
    return register_checkpoint(project=project, name="judged", folder=str(tmp_path / "judged"))


@pytest.fixture
def queue(project, generator, prompts, promoted):
    def make(rewards, **options):
        return queue_tuning(project=project, config={**QUICK, "rewards": rewards}, **options)

    return make


@pytest.fixture
def images():
    import torch

    return torch.rand(2, 3, 24, 24, generator=torch.Generator().manual_seed(0)).requires_grad_()


def test_the_runs_own_reward_model_goes_into_its_mixture_by_its_name(queue, promoted):
    run = queue({"checkpoint": 1.0})
    assert (run.checkpoint, run.config["rewards"]) == (promoted, {promoted.name: 1.0})


def test_a_run_without_a_mixture_is_tuned_on_its_reward_model_alone(queue, promoted, images):
    from rewardmodel.scoring import scorer

    run = queue({})
    assert "rewards" not in run.config
    assert load_mixture(run)(PROMPTS, images).tolist() == pytest.approx(
        scorer(promoted).score_tensor(PROMPTS, images).tolist()
    )


def test_a_mixture_that_names_a_reward_model_is_of_a_run_with_it(queue, judged):
    assert queue({"judged:fidelity": 1.0, "judged": 0.5}).checkpoint == judged


def test_a_mixture_has_reward_models_heads_of_them_and_functions(queue, judged, images, settings):
    from rewardmodel.scoring import scorer

    settings.REWARD_FUNCTIONS = [REDNESS]
    mixture = load_mixture(queue({"checkpoint": 1.0, "judged:fidelity": 0.5, "judged": 2.0, REDNESS: 3.0}))
    own, fidelity, whole, red = (part.reward(PROMPTS, images).tolist() for part in mixture.parts)
    model = scorer(judged)
    assert whole == pytest.approx(model.score_tensor(PROMPTS, images).tolist())
    assert fidelity == pytest.approx(model.score_aspect("fidelity", PROMPTS, images).tolist())
    assert red == pytest.approx(redness(PROMPTS, images).tolist())
    assert own != whole
    assert [part.name for part in mixture.unscaled] == ["judged:fidelity", REDNESS]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("reward-99", "no reward model 'reward-99', and it is none of CLIP, BLIP, Aesthetic"),
        ("shipped:fidelity", "shipped has no head for fidelity: train one with aspects="),
        ("shipped:beauty", "shipped has no head 'beauty'; there may be alignment, fidelity, problems"),
        ("checkpoint:fidelity", "reward-[0-9]+ has no head for fidelity"),
        ("subprocess:run", "no function that the setting REWARD_FUNCTIONS allows"),
    ],
)
def test_a_name_that_is_no_reward_is_refused_when_the_run_is_queued(
    queue, shipped, project, ada, client, name, said
):
    with pytest.raises(CannotTune, match=f"configuration: rewards: .*{said}"):
        queue({name: 1.0})
    with pytest.raises(CommandError, match=said):
        call_command("tune_generator", project.slug, "--set", f'rewards={{"{name}": 1}}')
    client.force_login(ada)
    sent = {"config": {"rewards": {name: 1}}}
    answer = client.post(reverse("api-tunings", args=[project.slug]), sent, content_type="application/json")
    assert answer.status_code == 409
    assert "rewards: " in answer.json()["detail"]
    assert not TuningRun.objects.exists()


def test_a_reward_that_is_named_twice_is_refused(queue, promoted):
    with pytest.raises(CannotTune, match=f"rewards: '{promoted.name}' is named twice, once as 'checkpoint'"):
        queue({promoted.name: 1.0, "checkpoint": 1.0})


@pytest.mark.parametrize("name", ["Aesthetic", REDNESS])
def test_a_reward_of_unknown_scale_needs_pairs_to_measure_it_on(
    project, generator, prompts, promoted, settings, name
):
    settings.REWARD_FUNCTIONS = [REDNESS]
    Generator.objects.update(pretraining="")
    config = {**QUICK, "pretraining_weight": 0.0, "rewards": {"checkpoint": 1.0, name: 1.0}}
    with pytest.raises(CannotTune, match=f"no folder of pre-training pairs to put {name} on a scale by"):
        queue_tuning(project=project, config=config)
    assert queue_tuning(project=project, config={**config, "rewards": {"checkpoint": 1.0}})


def test_the_form_of_a_policy_refuses_a_name_that_is_no_reward(project, shipped):
    def form(rewards):
        return TuningPolicyForm(
            {
                "project": project.pk,
                "config": {"rewards": rewards},
                "prompts_per_round": 2,
                "images_per_prompt": 2,
                "pool_factor": 2,
            }
        )

    assert form({"checkpoint": 1, "checkpoint:fidelity": 0.5, "shipped": 1}).is_valid()
    for name in ("nobody", "checkpoint:beauty", "shipped:fidelity"):
        refused = form({name: 1})
        assert "rewards: " in refused.errors["config"][0]


def test_a_function_that_cannot_be_imported_fails_the_run_at_once_and_is_named(queue, settings):
    settings.REWARD_FUNCTIONS = ["no_such_module:taste"]
    with pytest.raises(CannotLoadReward, match="no_such_module:taste: ModuleNotFoundError"):
        load_mixture(queue({"no_such_module:taste": 1.0}))


def test_what_judges_the_result_is_nothing_of_the_mixture(queue, shipped, judged):
    judges = held_out_rewards(queue({"judged:fidelity": 0.5, "checkpoint": 1.0}))
    assert [judge.checkpoint for judge in judges if not judge.head] == [shipped]


def test_nothing_judges_where_every_registered_reward_model_is_in_the_mixture(queue, shipped):
    assert held_out_rewards(queue({"checkpoint": 1.0, "shipped": 0.1})) == []


def test_an_artifact_head_and_a_reward_model_stay_apart_to_judge_while_a_run_tunes(
    queue, shipped, judged, images
):
    run = queue({"checkpoint": 1.0})
    assert [source.name for source in held_out_rewards(run)] == ["judged:fidelity", "judged"]
    rewards = load_held_out(run)
    assert set(rewards) == {"judged:fidelity", "judged"}
    assert all(reward(PROMPTS, images).shape == (2,) for reward in rewards.values())


def test_a_reward_model_that_comes_in_while_a_run_tunes_does_not_judge_it(
    queue, shipped, judged, project, tmp_path
):
    """A run that is taken up again would compare its looks with ones that know no such figure."""
    run = queue({"checkpoint": 1.0})
    judges = held_out_rewards(run)
    save_reward_model(tmp_path / "newer", seed=4, aspects=("fidelity",))
    newer = register_checkpoint(project=project, name="newer", folder=str(tmp_path / "newer"))
    assert held_out_rewards(run) == judges
    assert newer.created_at > run.created_at


def test_what_is_tuned_on_does_not_judge_meanwhile(queue, shipped, judged):
    run = queue({"checkpoint": 1.0, "judged:fidelity": 0.5})
    assert {source.name for source in rewards_of(run)}.isdisjoint({s.name for s in held_out_rewards(run)})
    assert [source.name for source in held_out_rewards(run)] == ["judged:problems", "shipped"]


@pytest.mark.django_db(transaction=True)
def test_a_run_tunes_on_a_mixture_and_its_page_shows_each_part(queue, judged, project, ada, client):
    run = queue({"checkpoint": 1.0, "judged:fidelity": 0.5})
    call_command("tune_generator", "--run", str(run.pk), verbosity=0)
    run.refresh_from_db()
    assert run.state == TuningRun.State.FINISHED
    values = run.points.first().values
    expected = values[f"reward/{run.checkpoint}"] + 0.5 * values["reward/judged:fidelity"]
    assert values["reward"] == pytest.approx(expected, rel=1e-4)
    client.force_login(ada)
    page = client.get(reverse("tuning-run", args=[project.slug, run.pk])).content.decode()
    assert f"1 \N{MULTIPLICATION SIGN} <strong>{run.checkpoint}</strong>" in page
    assert "0.5 \N{MULTIPLICATION SIGN} <strong>judged:fidelity</strong>" in page
    assert "parts-curve" in page
