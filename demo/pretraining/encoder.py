"""Pretrain the small world's BLIP-form encoder: `python -m demo.pretraining.encoder --to DIR --seed 0`.

It sees rendered scenes and their captions only, half of them painted anew by a generator's autoencoder: no
sampled image, no oracle and no ranking. First the image encoder learns what each patch shows and how far it
is from its clean picture. Then the whole learns at once which caption of a group is true of which picture,
the captions being one word or a few words apart, which words were masked in a picture's caption, where the
things are that the words name, and what no caption tells: size, place, lightness and flaws, so that a few
rankings suffice to say which of these people like. The head that tells matches becomes the reward head, so
the encoder's own score is the logit of its matching, scaled.
"""

from __future__ import annotations

import argparse
import math
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from demo.pretraining.matching import (
    SEVERAL,
    Attribute,
    attributes_of,
    contradict,
    draw_group,
    draw_statement,
    pictures,
    repaint,
    spoil,
)
from demo.pretraining.patches import ASPECTS, PATCH, PatchReader, Pointer, aspects_of, flaws_of, named_things
from demo.pretraining.precision import autocast
from demo.pretraining.starting_weights import initialise
from demo.world.captions import Split, every_statement, misstate, split_of
from demo.world.scenes import Scene, scene_of
from rewardmodel.learning import checkpoints
from rewardmodel.learning.data.preprocessing import normalise, tokenise
from rewardmodel.learning.model.backbones.blip import Blip, BlipConfig
from rewardmodel.learning.model.backbones.config import TextConfig, VisionConfig
from rewardmodel.learning.model.backbones.text import TextLayer
from rewardmodel.learning.model.heads import HeadConfig, RewardHead
from rewardmodel.learning.model.reward import RewardModel

GENERATOR = Path("demo/weights/generator")
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
MAX_TOKENS = 35
GROUPS = 4  # a step; more steps teach more than larger ones
GROUP = 4  # scenes of a group
LOOKING = 600  # steps
READING = 1500
REPORT = 100  # steps
LEARNING_RATE = 1e-3
WARMUP = 150  # steps
MASKED = 0.4  # share of a caption's words


def build_tokenizer() -> Any:
    """A BERT tokenizer of the words that captions use, and no others."""
    from transformers import BertTokenizer

    words = sorted({word for statement in every_statement() for word in str(statement).split()})
    return BertTokenizer(vocab={word: number for number, word in enumerate((*SPECIAL, *words))})


def load_autoencoder(generator: Path) -> Any:
    """The autoencoder of a Stable Diffusion folder."""
    from diffusers import AutoencoderKL

    return AutoencoderKL.from_pretrained(generator / "vae").float().eval()


def shape_of(vocabulary: int) -> BlipConfig:
    return BlipConfig(
        vision=VisionConfig(image_size=64, patch=PATCH, width=128, layers=4, heads=4, feed_forward=512),
        text=TextConfig(vocabulary, positions=MAX_TOKENS, width=128, layers=3, heads=4, feed_forward=512),
        head=HeadConfig(hidden=(128, 64, 32, 16)),
    )


class Pretraining(nn.Module):
    """The reward model and, beside it, what only its pretraining needs."""

    def __init__(self, model: RewardModel, tokenizer: Any) -> None:
        super().__init__()
        self.model, self.tokenizer = model, tokenizer
        shape = shape_of(len(tokenizer))
        self.patches = PatchReader(shape.vision.width)
        self.pointer = Pointer(shape.text.width)
        self.aspects = nn.Linear(shape.text.width, ASPECTS)
        self.words = nn.Linear(shape.text.width, shape.text.vocabulary)

    @property
    def blip(self) -> Blip:
        """The model's backbone."""
        return cast(Blip, self.model.backbone)

    def losses(
        self,
        images: Tensor,
        scenes: Sequence[Scene],
        flaws: Tensor,
        generator: torch.Generator,
        *,
        captions: bool,
    ) -> dict[str, Tensor]:
        """Weighted losses, by name, of images (B, 3, H, W) in 0..1 and the flaws (B, P - 1) of their patches.

        Groups of GROUP lie in a row.
        """
        seen = self.blip.visual_encoder(normalise(images, self.model.config.image_input))  # (B, P, V)
        patches = self.patches.loss(seen.float(), scenes, flaws)
        if not captions:
            return {"patches": patches}
        captions_of = [str(scene.statement) for scene in scenes]
        tokens, mask = tokenise(self.tokenizer, captions_of, MAX_TOKENS)
        # a caption kept for another use is only ever a wrong answer
        known = torch.tensor([split_of(caption) is Split.GENERATOR for caption in captions_of])
        scores, aspects = self.read(tokens, mask, seen)  # (B / G, G, G): caption, image
        choosing, matching = choosing_and_matching(scores, known.view(-1, GROUP))
        known_scenes = [scene for scene, is_known in zip(scenes, known.tolist(), strict=True) if is_known]
        targets = aspects_of(scenes, flaws)  # whatever the caption says of it
        filling, pointing = self.filling(tokens[known], mask[known], seen[known], known_scenes, generator)
        return {
            "patches": patches,
            "choosing": choosing,
            "matching": 0.3 * matching,
            "filling": filling,
            "pointing": pointing,
            "aspects": 0.5 * F.mse_loss(aspects, targets.view(-1, 1, GROUP, ASPECTS).expand_as(aspects)),
        }

    def read(self, tokens: Tensor, mask: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
        """Each caption of a group with each image of it: scores (B / G, G, G), aspects (B / G, G, G, A)."""
        place = torch.arange(len(seen)).view(-1, GROUP)
        caption = place[:, :, None].expand(-1, -1, GROUP).flatten()
        image = place[:, None, :].expand(-1, GROUP, -1).flatten()
        text = self.blip.text_encoder(tokens[caption], mask[caption], seen[image])
        aspects = self.aspects(text[:, 0]).float()
        return self.model.head(text[:, 0]).view(-1, GROUP, GROUP), aspects.view(-1, GROUP, GROUP, ASPECTS)

    def filling(
        self,
        tokens: Tensor,
        mask: Tensor,
        seen: Tensor,
        scenes: Sequence[Scene],
        generator: torch.Generator,
    ) -> tuple[Tensor, Tensor]:
        """Cross-entropy of words that were masked, and of where words look for the things they name."""
        hidden = (torch.rand(tokens.shape, generator=generator) < MASKED) & (tokens >= len(SPECIAL))
        encoder = self.blip.text_encoder
        text = encoder.embeddings(tokens.masked_fill(hidden, SPECIAL.index("[MASK]")))
        named, pointing = named_things(scenes), torch.zeros(())
        *early, last = (layer for layer in encoder.encoder.layer if isinstance(layer, TextLayer))
        real = mask.bool()[:, None, None, :]
        for layer in early:  # in time for the layers after it to compare places
            queries = layer.attention(text, text, real)
            pointing = pointing + 0.3 * self.pointer.looking(layer.crossattention.self, queries, seen, named)
            queries = layer.crossattention(queries, seen)
            text = layer.output(layer.intermediate(queries), queries)
            pointing = pointing + 2 * self.pointer.saying(text, named)
        text = last(text, real, seen, first_only=False)
        return F.cross_entropy(self.words(text[hidden]).float(), tokens[hidden]), pointing


def choosing_and_matching(scores: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """Cross-entropy of picking each caption's image and each image's caption; and of telling single matches.

    Args: scores (N, G, G), captions by images, a match on the diagonal; known (N, G), False where the match
        is not to be learned.
    """
    group = scores.shape[1]
    diagonal = torch.arange(group).expand(len(scores), group)[known]
    by_caption = F.cross_entropy(scores[known], diagonal)
    by_image = F.cross_entropy(scores.transpose(1, 2)[known], diagonal)
    truth = torch.eye(group).expand_as(scores)
    weight = torch.where(truth.bool(), (group - 1.0) * known[:, :, None], 1.0)
    return by_caption + by_image, F.binary_cross_entropy_with_logits(scores, truth, weight)


def look(learner: Pretraining, autoencoder: Any, *, steps: int, seed: int) -> None:
    """Teach the image encoder alone what its patches show."""
    parameters = [*learner.blip.visual_encoder.parameters(), *learner.patches.parameters()]
    _train(learner, autoencoder, parameters, "looking", steps=steps, seed=seed)


def read(learner: Pretraining, autoencoder: Any, *, steps: int, seed: int) -> None:
    """Teach the whole model which picture a caption is of, patches further on."""
    _train(learner, autoencoder, list(learner.parameters()), "reading", steps=steps, seed=seed)


def _train(
    learner: Pretraining,
    autoencoder: Any,
    parameters: list[nn.Parameter],
    lesson: str,
    *,
    steps: int,
    seed: int,
) -> None:
    """Train these parameters in place. Dropout stays off: no picture is seen twice."""
    rng, torch_rng = Random(seed), torch.Generator().manual_seed(seed)
    optimiser = torch.optim.AdamW(parameters, lr=LEARNING_RATE, betas=(0.9, 0.98), weight_decay=0.01)
    began, sums = time.process_time(), Counter[str]()
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = LEARNING_RATE * rate(step, steps)
        scenes = [scene for _ in range(GROUPS) for scene in draw_group(Split.GENERATOR, GROUP, rng)]
        clean = pictures(scenes)
        # bfloat16 is twice as fast here, but only with attention written out
        with autocast(), sdpa_kernel(SDPBackend.MATH):
            images = spoil(repaint(clean, autoencoder, torch_rng), torch_rng)
            losses = learner.losses(
                images, scenes, flaws_of(images, clean), torch_rng, captions=lesson == "reading"
            )
        optimiser.zero_grad()
        torch.stack(list(losses.values())).sum().backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        sums.update({name: loss.item() for name, loss in losses.items()})
        if (step + 1) % REPORT == 0:
            parts = ", ".join(f"{name} {total / REPORT:.3f}" for name, total in sums.items())
            print(
                f"{lesson} {step + 1}/{steps}, {time.process_time() - began:.0f} CPU s: {parts}", flush=True
            )
            sums.clear()


def rate(step: int, steps: int) -> float:
    """Linear warm-up, then half a cosine down to 0; a share of LEARNING_RATE."""
    if step < WARMUP:
        return (step + 1) / WARMUP
    return 0.5 * (1 + math.cos(math.pi * (step - WARMUP) / max(steps - WARMUP, 1)))


@torch.no_grad()
def rewards_of(model: RewardModel, tokenizer: Any, captions: Sequence[str], images: Tensor) -> Tensor:
    tokens, mask = tokenise(tokenizer, captions, MAX_TOKENS)
    parts = [slice(start, start + 100) for start in range(0, len(tokens), 100)]
    images = normalise(images, model.config.image_input)
    return torch.cat([model.score(tokens[part], mask[part], images[part]) for part in parts])


def measure(model: RewardModel, tokenizer: Any, *, pairs: int, seed: int) -> dict[Attribute, float]:
    """Share of held-out pairs in which the picture of the caption beats one of a contradicting caption."""
    rng, torch_rng = Random(seed), torch.Generator().manual_seed(seed)
    accuracy = {}
    for attribute in Attribute:
        captions: list[str] = []
        scenes: list[tuple[Scene, Scene]] = []
        while len(scenes) < pairs:
            true = draw_statement(Split.EVALUATION, rng)
            if attribute not in attributes_of(true):
                continue
            false = contradict(true, attribute, rng)
            captions.append(str(true))
            scenes.append((scene_of(true, rng), scene_of(false, rng)))
        right, wrong = (
            rewards_of(model, tokenizer, captions, spoil(pictures(side), torch_rng))
            for side in zip(*scenes, strict=True)
        )
        accuracy[attribute] = (right > wrong).double().mean().item()
    return accuracy


@torch.no_grad()
def calm(model: RewardModel, tokenizer: Any, *, seed: int) -> None:
    """Scale the head: mean 0 and deviation 1 over pictures, several of whose attributes are wrong.

    Matching makes scores so sure that, unscaled, a ranking loss starts far above ln 2 and shakes the model.
    """
    rng, torch_rng = Random(seed), torch.Generator().manual_seed(seed)
    statements = [draw_statement(Split.GENERATOR, rng) for _ in range(1000)]
    images = spoil(pictures([scene_of(misstate(each, rng, SEVERAL), rng) for each in statements]), torch_rng)
    scores = rewards_of(model, tokenizer, [str(each) for each in statements], images)
    last = cast(RewardHead, model.head).layers[-1]
    assert isinstance(last, nn.Linear)
    last.bias.sub_(scores.mean())
    for parameter in last.parameters():
        parameter.div_(scores.std(correction=0))


def describe(accuracy: dict[Attribute, float]) -> str:
    return ", ".join(f"{attribute} {share:.3f}" for attribute, share in accuracy.items())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--to", type=Path, required=True, help="folder of the checkpoint")
    parser.add_argument("--generator", type=Path, default=GENERATOR, help="folder of the generator")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--looking", type=int, default=LOOKING, help="steps of the image encoder alone")
    parser.add_argument("--reading", type=int, default=READING, help="steps of the whole")
    arguments = parser.parse_args()
    torch.manual_seed(arguments.seed)
    torch.set_num_threads(1)
    tokenizer = build_tokenizer()
    model = RewardModel(shape_of(len(tokenizer))).eval()
    rng, torch_rng = Random(arguments.seed), torch.Generator().manual_seed(arguments.seed)
    scenes = [scene_of(draw_statement(Split.GENERATOR, rng), rng) for _ in range(400)]
    initialise(model, normalise(spoil(pictures(scenes), torch_rng), model.config.image_input))
    learner = Pretraining(model, tokenizer).eval()
    autoencoder = load_autoencoder(arguments.generator)
    look(learner, autoencoder, steps=arguments.looking, seed=arguments.seed)
    read(learner, autoencoder, steps=arguments.reading, seed=arguments.seed + 1)
    print(f"held out: {describe(measure(model, tokenizer, pairs=1000, seed=2))}")
    calm(model, tokenizer, seed=3)
    config = checkpoints.CheckpointConfig(model.config, MAX_TOKENS)
    checkpoints.save(arguments.to, model=model, tokenizer=tokenizer, config=config, dtype=torch.float16)


if __name__ == "__main__":
    main()
