"""Where published models and baselines lie, by name; plain values, no torch."""

from __future__ import annotations

# Name -> repository, file, and the commit that it is taken from.
MODELS = {
    "ImageReward-v1.0": (
        "THUDM/ImageReward",
        "ImageReward.pt",
        "5736be03b2652728fb87788c9797b0570450ab72",
    )
}
# The folder in the root, and the hub id, of the CLIP that the baselines stand on: OpenAI's ViT-L/14.
CLIP = (
    "clip-vit-large-patch14",
    "openai/clip-vit-large-patch14@32bd64288804d66eefd0ccbe215aa642df71cc41",
)
# The one file of its own that a baseline has.
BASELINES = {
    "CLIP": "",
    "BLIP": "https://storage.googleapis.com/sfr-vision-language-research/BLIP/models/model_large.pth",
    "Aesthetic": "https://github.com/christophschuhmann/improved-aesthetic-predictor/raw/main/"
    "sac%2Blogos%2Bava1-l14-linearMSE.pth",
}
# What does as well where it was put there by hand: LAION's first aesthetic predictor, one linear layer.
ALTERNATIVES = {"Aesthetic": ("sa_0_4_vit_l_14_linear.pth",)}
