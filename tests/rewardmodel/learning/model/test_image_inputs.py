"""How an image is made fit for a model: as transformers' processors do it."""

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import SiglipImageProcessorPil
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from rewardmodel.learning.data.preprocessing import fit, normalise, to_pixels
from rewardmodel.learning.model.backbones.config import ImageInput

SQUASHED = ImageInput(24, mean=(0.5,) * 3, std=(0.5,) * 3, fit="squash")


@pytest.fixture
def picture() -> Image.Image:
    """60 wide, 40 high, smooth enough that a pixel's neighbours say what it is."""
    x, y = np.meshgrid(np.linspace(0, 3, 60), np.linspace(0, 2, 40))
    waves = [np.sin(x) * 120 + 127, np.cos(x + y) * 120 + 127, y * 100]
    return Image.fromarray(np.stack(waves, axis=-1).astype(np.uint8))


def test_a_cropped_image_is_the_one_clip_sees(picture):
    processor = CLIPImageProcessorPil(size={"shortest_edge": 24}, crop_size=24)
    expected = processor(picture, return_tensors="pt")["pixel_values"][0]
    wanted = ImageInput(24)
    torch.testing.assert_close(normalise(to_pixels(picture, wanted), wanted), expected, rtol=0, atol=1e-5)


def test_a_squashed_image_is_the_one_siglip_sees(picture):
    processor = SiglipImageProcessorPil(size={"height": 24, "width": 24})
    expected = processor(picture, return_tensors="pt")["pixel_values"][0]
    seen = normalise(to_pixels(picture, SQUASHED), SQUASHED)
    torch.testing.assert_close(seen, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("wanted", [ImageInput(24), SQUASHED], ids=["cropped", "squashed"])
def test_a_tensor_is_fitted_as_a_file_would_be(picture, wanted):
    tensor = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None] / 255
    pixels = to_pixels(picture, wanted)[None] / 255
    torch.testing.assert_close(fit(tensor, wanted), pixels, rtol=0, atol=2 / 255)
