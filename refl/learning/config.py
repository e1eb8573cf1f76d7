"""What a tuning is: every choice and number that decides its result."""

from __future__ import annotations

from collections.abc import Callable, Set
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from rewardmodel.learning.config import check_type, is_number


@dataclass(frozen=True)
class MethodEntry:
    """What is known of a method without importing it.

    Attributes:
        title: what people call it, as a stage of a configuration sets it up.
        place: dotted name of its class, a `methods.Method`.
        needs: what a stage of a configuration learns from, of "reward", "prompts", "pairs" and
            "preferences". A run is refused that lacks any of it.
        makes: what the stage makes itself of these, for itself and for the stages after it.
        follows_gradient: whether it wants a reward that it can follow the gradient of.
    """

    title: Callable[[TuningConfig], str]
    place: str
    needs: Callable[[TuningConfig], Set[str]]
    makes: Callable[[TuningConfig], Set[str]] = lambda config: set()
    follows_gradient: bool = False


def _losses_need(config: TuningConfig) -> set[str]:
    """What the two losses learn from: one of weight 0 is left out."""
    needs = {"reward", "prompts"} if config.reward_weight else set()
    return needs | ({"pairs"} if config.pretraining_weight else set())


def _selection_needs(config: TuningConfig) -> set[str]:
    """What pairs, or prompts to make them of, are chosen by: to keep all of them takes no reward."""
    if config.selection == "raft":
        return {"reward", "prompts"}
    return {"pairs"} if config.selection == "filter" and config.keep_share == 1 else {"reward", "pairs"}


SELECTIONS = {
    "filter": "the best pairs",
    "weighted": "pairs weighted by their reward",
    "raft": "the best of its own samples",
}
# What a configuration may name. Dotted names, so that it is checked without torch.
METHODS = {
    "refl": MethodEntry(
        lambda config: "ReFL", "refl.learning.methods.refl:ReFL", needs=_losses_need, follows_gradient=True
    ),
    "draft": MethodEntry(
        lambda config: "DRaFT", "refl.learning.methods.draft:DRaFT", needs=_losses_need, follows_gradient=True
    ),
    "selected": MethodEntry(
        lambda config: f"Reward-selected training on {SELECTIONS[config.selection]}",
        "refl.learning.methods.selected:Selected",
        needs=_selection_needs,
        makes=lambda config: {"pairs"} if config.selection == "raft" else set(),
    ),
    "dpo": MethodEntry(
        lambda config: "Diffusion-DPO",
        "refl.learning.methods.dpo:DiffusionDPO",
        needs=lambda config: {"preferences"},
    ),
    "nft": MethodEntry(
        lambda config: "DiffusionNFT",
        "refl.learning.methods.nft:DiffusionNFT",
        needs=lambda config: {"reward", "prompts"},
    ),
}
WEIGHTS = {  # -> a `weights.Trainable`
    "all": "refl.learning.weights:AllWeights",
    "lora": "refl.learning.weights:LoRA",
}

# Not stored while they are as they are here, so that configurations stored before them stay equal.
DEFAULTS: dict[str, Any] = {
    "method": "refl",
    "weights": "all",
    "gradient_steps": 0,
    "random_gradient_steps": False,
    "selection": "filter",
    "keep_share": 0.2,
    "candidates": 10,
    "beta": 2000.0,
    "nft_beta": 1.0,
    "rewards": {},
    "lora_rank": 16,
    "lora_alpha": 0.0,
    "lora_targets": (),
    "precision": "float32",
    "ema_warmup": True,
    "learning_rate_schedule": "constant",
    "warmup_updates": 0,
    "stages": (),
    "image_size": 0,
}

# Of the run as a whole: no stage has its own.
OF_THE_RUN = {
    *("stages", "seed", "weights", "lora_rank", "lora_alpha", "lora_targets", "rewards", "image_size"),
    *("precision", "gradient_checkpointing"),
    *("checkpoint_every", "sample_every", "sample_prompts", "sample_steps", "sample_guidance"),
    *("guard_every", "guard_prompts", "guard_images", "guard_limits", "patience"),
}

GRID_COLUMNS, GRID_GAP = 4, 2  # of a sample grid: images in a row, and pixels between them

MAX_UPDATES = 2**31 - 1  # of a run: more cannot be counted in its row

# How far each figure of the guards may go from the untuned generator's before they stop the run. All ours.
GUARD_LIMITS = {
    "held_out": 0.0,  # difference of a reward that is not tuned on, at least
    "diversity": 0.7,  # ratio of the distances between seeds, at least
    "colour_entropy": 0.8,  # ratio, at least
    "dark_share": 0.15,  # difference in share of pixels, at most
    "patch_grid": 2.0,  # ratio of the grid's energy, at most
    "drift": 1.2,  # distance from the untuned images by the distance between their seeds, at most
}


@dataclass(frozen=True)
class TuningConfig:
    """A tuning run. Defaults are the paper's or its released code's; others say `ours`.

    `TuningConfig(**stored)` reads back what `to_dict` gave, and refuses a field it does not know.

    Raises: ValueError for a value that no run can have.
    Source: ImageReward, arXiv 2304.05977, Algorithm 1 and experiment settings; THUDM/ImageReward, ReFL.py.
    """

    method: str = DEFAULTS["method"]  # how an update is made: a name in METHODS
    weights: str = DEFAULTS["weights"]  # what trains: a name in WEIGHTS
    # ours: several methods, one after the other: for each, the fields in which it differs from this
    stages: tuple[dict[str, Any], ...] = DEFAULTS["stages"]

    # LoRA, all ours. It takes a learning rate about ten times that of all weights.
    lora_rank: int = DEFAULTS["lora_rank"]
    lora_alpha: float = DEFAULTS["lora_alpha"]  # the change is scaled by alpha / rank; 0 takes the rank
    lora_targets: tuple[str, ...] = DEFAULTS["lora_targets"]  # ends of layer names; none: attention's layers

    # The rollout.
    steps: int = 40  # denoising steps, the paper's T
    late_steps: tuple[int, int] = (1, 10)  # first and last step to score at, counted from the end: [T1, T2]
    sampler: str = "ddpm"  # the schedule of the rollout: "ddpm" or "ddim" (without noise); "euler" of flows
    guidance_scale: float = 1.0  # 1 is none, as the paper trains; ours: what users sample with
    image_size: int = DEFAULTS[
        "image_size"
    ]  # ours: side in pixels, of samples and pairs; 0 is the pipeline's own

    # DRaFT.
    gradient_steps: int = DEFAULTS["gradient_steps"]  # K, the last of the steps; 0 for all of them
    random_gradient_steps: bool = DEFAULTS["random_gradient_steps"]  # each sample draws its K from 1..K

    # Reward-selected training.
    selection: str = DEFAULTS["selection"]  # "filter" or "weighted", of the pairs; "raft", of own samples
    keep_share: float = DEFAULTS["keep_share"]  # ours: of the pairs, that of the highest rewards
    candidates: int = DEFAULTS["candidates"]  # own samples of a prompt: RAFT learns from the best of them

    # Diffusion-DPO, and DiffusionNFT.
    beta: float = DEFAULTS["beta"]  # how much a preference outweighs the distance from the reference
    nft_beta: float = DEFAULTS["nft_beta"]  # how far the implicit policies lie from the old one

    # The two losses. One of weight 0 is left out.
    reward_weight: float = 1e-3  # lambda; to be scaled to the ratio of the two gradients
    reward_ceiling: float = 2.0  # relu(ceiling - reward): no push above it
    pretraining_weight: float = 1.0
    empty_prompts: float = 0.0  # ours: share of pre-training captions left out, as Stable Diffusion trained

    # Ours: the weights of a mixture of rewards, by name; empty is the run's reward model alone. What weighs 1
    # counts one standard deviation of that reward. `reward_weight` multiplies the sum.
    rewards: dict[str, float] = field(default_factory=dict)

    # The optimiser. An update is one pre-training step and one reward step.
    updates: int = 100
    batch_size: int = 64  # prompts, and as many pre-training pairs, per update
    microbatch_size: int = 2  # samples in memory at once, 0 for the whole batch; changes no result
    learning_rate: float = 1e-5
    learning_rate_schedule: str = DEFAULTS["learning_rate_schedule"]  # ours: or "cosine" or "linear", to 0
    warmup_updates: int = DEFAULTS["warmup_updates"]  # ours: in which the learning rate rises to its full
    weight_decay: float = 1e-2
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-8
    clip: float = 1.0  # largest gradient norm of each of the two steps
    ema: float = 0.0  # decay of the averaged weights that are sampled from and saved; 0 for none
    ema_warmup: bool = DEFAULTS["ema_warmup"]  # bound the n-th update's decay by (1 + n) / (10 + n)
    gradient_checkpointing: bool = False
    precision: str = DEFAULTS["precision"]  # of matrix products: or "bfloat16", or, as released, "float16"
    seed: int = 0

    # What is kept on the way, all ours.
    checkpoint_every: int = 20  # updates
    sample_every: int = 0  # updates between sample grids; 0 for before and after only
    sample_prompts: int = 8  # the first of the prompts, one image each
    sample_steps: int = 50
    sample_guidance: float = 7.5

    # The guards, all ours. They look at fixed prompts and seeds, and the best look's weights are saved.
    guard_every: int = 10  # updates between looks; 0 for no guards
    guard_prompts: int = 32
    guard_images: int = 2  # of each prompt, which differ by seed
    guard_limits: dict[str, float] = field(default_factory=dict)  # other values of GUARD_LIMITS, by name
    patience: int = 4  # looks in a row without a better one that stop the run; 0 for any number

    def __post_init__(self) -> None:
        for each in fields(self):
            check_type(each.name, each.type, getattr(self, each.name))
        for name in ("late_steps", "betas", "lora_targets", "stages"):
            object.__setattr__(self, name, _as_tuple(name, getattr(self, name)))  # JSON has lists only
        _check_rewards(self.rewards)
        object.__setattr__(self, "stages", tuple(self._stage(number) for number in range(len(self.stages))))
        if [type(step) for step in self.late_steps] != [int, int]:
            raise ValueError(f"late_steps must be two whole numbers, is {list(self.late_steps)!r}")
        first, last = self.late_steps
        demands = {
            f"method must be one of {', '.join(METHODS)}": self.method in tuple(METHODS),
            f"weights must be one of {', '.join(WEIGHTS)}": self.weights in tuple(WEIGHTS),
            "lora_rank must be at least 1, lora_alpha not negative": (
                self.lora_rank >= 1 and self.lora_alpha >= 0
            ),
            f"late_steps must lie within 1..{self.steps}, the first not after the last": (
                1 <= first <= last <= self.steps
            ),
            f"selection must be one of {', '.join(SELECTIONS)}": self.selection in tuple(SELECTIONS),
            "keep_share must lie above 0, and at most at 1": 0 < self.keep_share <= 1,
            "candidates must be at least 1": self.candidates >= 1,
            "beta and nft_beta must be positive": min(self.beta, self.nft_beta) > 0,
            "nft needs ema above 0: the averaged weights are its old policy": (
                self.method != "nft" or self.ema > 0
            ),
            f"gradient_steps must lie within 0..{self.steps}": 0 <= self.gradient_steps <= self.steps,
            "sampler must be 'ddpm', 'ddim' or 'euler'": self.sampler in ("ddpm", "ddim", "euler"),
            "lora_targets must be ends of layer names": all(_is_text(name) for name in self.lora_targets),
            "guidance_scale and sample_guidance must be at least 1": (
                min(self.guidance_scale, self.sample_guidance) >= 1
            ),
            "reward_weight and pretraining_weight must not be negative, nor both 0": (
                min(self.reward_weight, self.pretraining_weight)
                >= 0
                < self.reward_weight + self.pretraining_weight
            ),
            "empty_prompts must lie within 0..1": 0 <= self.empty_prompts <= 1,
            "ema must be 0 or a decay below 1": 0 <= self.ema < 1,
            "updates, batch_size, checkpoint_every, sample_prompts and sample_steps must be at least 1": min(
                self.updates, self.batch_size, self.checkpoint_every, self.sample_prompts, self.sample_steps
            )
            >= 1,
            "image_size, microbatch_size and sample_every must not be negative": (
                min(self.image_size, self.microbatch_size, self.sample_every) >= 0
            ),
            "precision must be 'float32', 'bfloat16' or 'float16'": (
                self.precision in ("float32", "bfloat16", "float16")
            ),
            "learning_rate_schedule must be 'constant', 'cosine' or 'linear'": (
                self.learning_rate_schedule in ("constant", "cosine", "linear")
            ),
            f"warmup_updates must lie within 0..{self.updates - 1}, below updates": (
                0 <= self.warmup_updates < self.updates
            ),
            "learning_rate, epsilon and clip must be positive": (
                min(self.learning_rate, self.epsilon, self.clip) > 0
            ),
            "weight_decay and seed must not be negative": self.weight_decay >= 0 and self.seed >= 0,
            "betas must be two decays below 1": (
                len(self.betas) == 2 and all(is_number(beta) and 0 <= beta < 1 for beta in self.betas)
            ),
            "guard_every and patience must not be negative": min(self.guard_every, self.patience) >= 0,
            "guards need 2 prompts and 2 images of each, or more": (
                min(self.guard_prompts, self.guard_images) >= 2
            ),
            f"guard_limits must be numbers by the names of {', '.join(GUARD_LIMITS)}": (
                isinstance(self.guard_limits, dict)
                and self.guard_limits.keys() <= GUARD_LIMITS.keys()
                and all(is_number(limit) for limit in self.guard_limits.values())
            ),
        }
        for demand, met in demands.items():
            if not met:
                raise ValueError(demand)
        if sum(stage.get("updates", self.updates) for stage in self.stages or ({},)) > MAX_UPDATES:
            raise ValueError(f"updates of all stages must be at most {MAX_UPDATES:,}")

    def _stage(self, number: int) -> dict[str, Any]:
        """Return a stage's fields as a TuningConfig holds them. Raises: ValueError."""
        stage = self.stages[number]
        if not isinstance(stage, dict) or set(stage) & OF_THE_RUN:
            shared = f" ({', '.join(sorted(set(stage) & OF_THE_RUN))})" if isinstance(stage, dict) else ""
            raise ValueError(
                f"stage {number + 1} must be fields in which it differs, none of the run's{shared}"
            )
        try:
            config = replace(self, **{"stages": (), **stage})
        except (TypeError, ValueError) as error:
            raise ValueError(f"stage {number + 1}: {error}") from error
        return {name: getattr(config, name) for name in stage}

    def stage_configs(self) -> list[TuningConfig]:
        """Return the configurations of the run's stages in order: this one alone where it names none."""
        return [replace(self, **{"stages": (), **stage}) for stage in self.stages or ({},)]

    @property
    def title(self) -> str:
        """What people call its method."""
        return METHODS[self.method].title(self)

    @property
    def needs(self) -> set[str]:
        """What a run has to be given: of "reward", "prompts", "pairs" and "preferences".

        What an earlier stage makes, a later one need not be given.
        """
        needs: set[str] = set()
        made: set[str] = set()
        for stage in self.stage_configs():
            method = METHODS[stage.method]
            needs |= method.needs(stage) - made
            made |= method.makes(stage)
        return needs

    @property
    def is_control(self) -> bool:
        """Whether it learns from pairs alone, unchosen: what tuning does by itself."""
        return self.needs == {"pairs"}

    @property
    def total_updates(self) -> int:
        """Updates of all stages."""
        return sum(stage.updates for stage in self.stage_configs())

    def to_dict(self) -> dict[str, Any]:
        """Return fields and values, fit for JSON."""
        return {name: value for name, value in asdict(self).items() if DEFAULTS.get(name) != value}


def _check_rewards(rewards: object) -> None:
    """Raises: ValueError unless it maps names to weights above 0."""
    if not isinstance(rewards, dict):
        raise ValueError(f"rewards must be an object of names and weights, is {rewards!r}")
    for name, weight in rewards.items():
        if not _is_text(name):
            raise ValueError(f"rewards must each have a name, not {name!r}")
        if not is_number(weight) or weight <= 0:
            raise ValueError(f"rewards must each have a weight above 0; that of {name!r} is {weight!r}")


def _as_tuple(name: str, values: object) -> tuple[Any, ...]:
    if not isinstance(values, list | tuple):
        raise ValueError(f"{name} must be a list, is {values!r}")
    return tuple(values)


def _is_text(value: object) -> bool:
    """Whether it is a name that a row can hold: not blank, and without NUL or half of a surrogate pair."""
    return isinstance(value, str) and bool(value.strip()) and value.isprintable()
