"""One ReFL update of Stable Diffusion 1.5's real shapes, with random weights: its time and its memory.

    .venv/bin/python -m benchmarks.tuning_update --size 256 --batch 1 --steps 2
    .venv/bin/python -m benchmarks.tuning_update --size 512 --precision bfloat16 --ema 0.9999

UNet 859.5 M weights, VAE 83.7 M, CLIP-L's text encoder 123 M. The reward is the mean of a colour, so that the
memory is the generator's own; a BLIP-L reward model adds 1.7 GiB. On a GPU, if there is one, the peak is that
of torch's allocator, else of the process. Beside it what is held throughout a run, as computed.
"""

from __future__ import annotations

import argparse
import json
import resource
import string
import tempfile
from pathlib import Path
from time import perf_counter, process_time

import numpy as np
import torch
from diffusers import AutoencoderKL, PNDMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from PIL import Image
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from refl.learning.chance import rng_at
from refl.learning.config import TuningConfig
from refl.learning.families.stable_diffusion import StableDiffusion
from refl.learning.methods import Batch
from refl.learning.methods.refl import ReFL
from refl.learning.pairs import Pair
from refl.learning.tuner import Tuner

GIB = 2**30


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, default=512, help="side in pixels")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--microbatch", type=int, default=1)
    parser.add_argument("--steps", type=int, default=40, help="of the rollout; the late one is the last")
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--ema", type=float, default=0.0)
    parser.add_argument("--weights", default="all", help="or lora")
    parser.add_argument("--updates", type=int, default=1)
    options = parser.parse_args()
    config = TuningConfig(
        steps=options.steps,
        late_steps=(1, 1),
        batch_size=options.batch,
        microbatch_size=options.microbatch,
        precision=options.precision,
        ema=options.ema,
        weights=options.weights,
        updates=options.updates,
        image_size=options.size,
        gradient_checkpointing=True,
    )
    pipeline = stable_diffusion_15().to("cuda" if torch.cuda.is_available() else "cpu")
    tuner = Tuner(config, StableDiffusion(pipeline))
    method = ReFL(tuner, redness)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "noise.png"
        Image.fromarray(
            np.random.default_rng(0).integers(0, 256, (options.size, options.size, 3), np.uint8)
        ).save(file)
        batch = Batch(["a page"] * options.batch, [Pair(file, "a page")] * options.batch)
        for update in range(options.updates):
            started, worked = perf_counter(), process_time()
            measures = method.update(batch, rng_at(0, update, range(options.batch)))
            tuner.update_average()
            print(
                json.dumps(
                    {
                        "seconds": round(perf_counter() - started, 1),
                        "cpu_seconds": round(process_time() - worked, 1),
                        "peak_gib": round(peak() / GIB, 2),
                        "resident_gib": {k: round(v / GIB, 2) for k, v in resident(tuner).items()},
                        "measures": measures,
                    }
                ),
                flush=True,
            )


def stable_diffusion_15() -> StableDiffusionPipeline:
    """The pipeline of CompVis and Runway's configuration files, its weights as torch draws them."""
    torch.manual_seed(0)
    tokens = ["<|startoftext|>", "<|endoftext|>", *string.ascii_lowercase]
    tokens += [letter + "</w>" for letter in string.ascii_lowercase]
    blocks = ("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",)
    return StableDiffusionPipeline(
        unet=UNet2DConditionModel(
            sample_size=64,
            cross_attention_dim=768,
            attention_head_dim=8,
            down_block_types=blocks,
            up_block_types=("UpBlock2D", *("CrossAttnUpBlock2D",) * 3),
        ),
        vae=AutoencoderKL(
            block_out_channels=(128, 256, 512, 512),
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            layers_per_block=2,
            sample_size=512,
        ),
        text_encoder=CLIPTextModel(
            CLIPTextConfig(
                hidden_size=768,
                intermediate_size=3072,
                num_hidden_layers=12,
                num_attention_heads=12,
                bos_token_id=0,
                eos_token_id=1,
                pad_token_id=1,
            )
        ),
        tokenizer=CLIPTokenizer(
            vocab={token: i for i, token in enumerate(tokens)}, merges=[], model_max_length=77
        ),
        scheduler=PNDMScheduler(
            beta_start=0.00085,
            beta_end=0.012,
            beta_schedule="scaled_linear",
            set_alpha_to_one=False,
            skip_prk_steps=True,
            steps_offset=1,
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def redness(prompts: list[str], images: Tensor) -> Tensor:
    return (images[:, 0] - images[:, 1:].mean(1)).mean((1, 2))


def resident(tuner: Tuner) -> dict[str, int]:
    """Bytes that are held throughout a run, by what they are."""
    networks = (tuner.family.denoiser, tuner.family.pipeline.vae, tuner.family.pipeline.text_encoder)
    trained = sum(weight.nbytes for weight in tuner.weights.parameters)
    return {
        "weights": sum(weight.nbytes for network in networks for weight in network.parameters()),
        "gradient": trained,
        "adam": 2 * trained,
        "average": trained if tuner.average else 0,
    }


def peak() -> int:
    """The most memory held so far, in bytes."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    main()
