"""The files of CLIP, BLIP and Aesthetic at tiny shapes, under their published names."""

from pathlib import Path

import torch
from transformers import BlipForImageTextRetrieval, CLIPConfig, CLIPModel, CLIPTokenizer

from rewardmodel.learning.model.backbones.blip import BlipConfig
from rewardmodel.learning.model.backbones.blip_layouts import write_blip, write_transformers
from rewardmodel.learning.model.backbones.config import TextConfig, VisionConfig
from rewardmodel.learning.model.heads import HeadConfig
from rewardmodel.learning.model.reward import RewardModel

SIDE, WIDTH = 32, 24  # of images; in which CLIP's image and text meet
LETTERS = ["a</w>", "r", "e", "d</w>", "re", "red</w>", "<|startoftext|>", "<|endoftext|>"]
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "red", "blue", "circle"]
HEAD = {0: (1024, WIDTH), 2: (128, 1024), 4: (64, 128), 6: (16, 64), 7: (1, 16)}


def write_clip(root: Path) -> CLIPModel:
    number = {word: n for n, word in enumerate(LETTERS)}
    tower = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 1}
    ends = {"bos_token_id": 6, "eos_token_id": 7, "pad_token_id": 7}
    text = {**tower, **ends, "max_position_embeddings": 16, "vocab_size": len(LETTERS)}
    seen = {**tower, "image_size": SIDE, "patch_size": 8}
    model = _spread(CLIPModel(CLIPConfig(text_config=text, vision_config=seen, projection_dim=WIDTH)))
    model.save_pretrained(root / "clip-vit-large-patch14")
    tokenizer = CLIPTokenizer(vocab=number, merges=[("r", "e"), ("re", "d</w>")], unk_token="<|endoftext|>")
    tokenizer.save_pretrained(root / "clip-vit-large-patch14")
    return model


def write_blip_large(root: Path, projection: int | None = 6) -> BlipForImageTextRetrieval:
    """BLIP's own file with things that no score uses, and BERT's vocabulary beside it."""
    shape = BlipConfig(
        VisionConfig(SIDE, 8, width=128, layers=2, heads=2, feed_forward=64),
        TextConfig(len(WORDS) + 2, positions=40, width=64, layers=2, heads=1, feed_forward=96),
        HeadConfig((16, 8, 8, 4)),
        projection=projection,
    )
    model = _spread(RewardModel(shape))
    write_blip(model.config, model.state_dict(), root / "model_large.pth")
    held = torch.load(root / "model_large.pth")["model"]
    held |= {
        "temp": torch.ones(()),
        "itm_head.weight": torch.ones(2, 64),
        "vision_proj_m.bias": torch.ones(6),
    }
    torch.save({"model": held}, root / "model_large.pth")
    (root / "vocab.txt").write_text("\n".join(WORDS))
    write_transformers(model.config, model.state_dict(), root / "theirs")
    return BlipForImageTextRetrieval.from_pretrained(root / "theirs").eval()


def write_aesthetic(root: Path, name: str = "sac+logos+ava1-l14-linearMSE.pth") -> dict[str, torch.Tensor]:
    weights = {f"layers.{n}.weight": torch.randn(shape) * shape[1] ** -0.5 for n, shape in HEAD.items()}
    weights |= {f"layers.{n}.bias": torch.randn(shape[0]) for n, shape in HEAD.items()}
    torch.save(weights, root / name)
    return weights


def _spread(model):
    for name, parameter in model.named_parameters():
        if name != "logit_scale":
            torch.nn.init.normal_(parameter, std=0.02 if "embedding" in name else 0.15)
    return model.eval()
