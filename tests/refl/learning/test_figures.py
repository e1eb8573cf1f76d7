"""What the guards measure of images, each beside the sum written out."""

import math

import pytest
import torch
from PIL import Image

from refl.learning import figures
from tests.refl.learning.conftest import rng


def noise(*shape, seed=0):
    return torch.rand(*shape, generator=rng(seed))


def test_diversity_is_the_mean_distance_of_every_two_seeds_of_a_prompt():
    small = noise(2, 3, 3, 4, 5)  # (B, S, 3, h, w)

    def rms(a, b):
        return math.sqrt(sum((x - y) ** 2 for x, y in zip(a, b, strict=True)) / len(a))

    for prompt, value in zip(small, figures.diversity(small), strict=True):
        flat = [image.flatten().tolist() for image in prompt]
        expected = (rms(flat[0], flat[1]) + rms(flat[0], flat[2]) + rms(flat[1], flat[2])) / 3
        assert value.item() == pytest.approx(expected, rel=1e-5)


def test_diversity_of_pictures_is_that_of_their_tensors():
    groups = [
        [Image.new("RGB", (8, 8), colour) for colour in colours]
        for colours in (("red", "red"), ("black", "white"))
    ]
    assert figures.diversity_of_pictures(groups) == [0.0, 1.0]


def test_seeds_that_give_one_image_have_no_diversity():
    small = noise(1, 1, 3, 8, 8).expand(1, 4, 3, 8, 8)
    assert figures.diversity(small).item() == 0


def test_images_drift_by_1_when_they_are_as_far_off_as_another_seeds():
    base = noise(4, 2, 3, 8, 8)
    assert figures.drift(base, base).tolist() == [0] * 4
    swapped = base.flip(1)  # each image is the other seed's
    assert figures.drift(swapped, base).mean().item() == pytest.approx(1, rel=1e-5)
    assert figures.drift(base + 0.1, base).tolist() == pytest.approx(
        [0.1 / figures.diversity(base).mean().item()] * 4, rel=1e-4
    )


def test_thumbnails_are_means_of_what_they_cover():
    images = noise(2, 2, 3, 64, 64)
    small = figures.thumbnails(images)
    assert small.shape == (2, 2, 3, 32, 32)
    assert small[1, 0, 2, 3, 5].item() == pytest.approx(images[1, 0, 2, 6:8, 10:12].mean().item(), rel=1e-5)
    assert figures.thumbnails(noise(1, 1, 3, 16, 48)).shape == (1, 1, 3, 16, 32)


def test_dark_is_what_has_little_luma_of_bt_709():
    images = torch.zeros(1, 1, 3, 2, 2)
    images[0, 0, :, 0, 0] = torch.tensor([0.0, 0.13, 0.0])  # luma 0.093: dark
    images[0, 0, :, 0, 1] = torch.tensor([0.0, 0.15, 0.0])  # luma 0.107
    images[0, 0, :, 1, 0] = torch.tensor([0.0, 0.0, 1.0])  # luma 0.072: dark
    assert figures.dark_share(images).tolist() == [0.75]


def test_the_entropy_of_colours_is_that_of_their_histogram():
    plain, split = torch.full((1, 1, 3, 8, 8), 0.3), torch.full((1, 1, 3, 8, 8), 0.3)
    split[..., :4] = 0.9
    assert figures.colour_entropy(plain).item() == pytest.approx(0, abs=1e-6)
    assert figures.colour_entropy(split).item() == pytest.approx(1, rel=1e-6)

    images = noise(2, 2, 3, 6, 7)
    for prompt, value in zip(images, figures.colour_entropy(images), strict=True):
        entropies = []
        for image in prompt:
            cells = [tuple(int(c * 8) for c in image[:, y, x].tolist()) for y in range(6) for x in range(7)]
            shares = [cells.count(cell) / len(cells) for cell in set(cells)]
            entropies.append(-sum(share * math.log2(share) for share in shares))
        assert value.item() == pytest.approx(sum(entropies) / 2, rel=1e-5)


def test_white_has_a_colour_of_its_own_and_does_not_fall_out_of_the_histogram():
    assert figures.colour_entropy(torch.ones(1, 1, 3, 4, 4)).item() == pytest.approx(0, abs=1e-6)


def test_the_patch_grid_is_the_variance_of_differences_by_their_place_in_the_period():
    images, period = noise(1, 1, 3, 17, 19), 4
    luma = sum(w * images[0, 0, c] for c, w in enumerate(figures.LUMA)).tolist()

    def energy(lines):
        length = len(lines[0]) - 1
        profile = [sum(abs(line[i + 1] - line[i]) for line in lines) / len(lines) for i in range(length)]
        periods = length // period
        means = [sum(profile[k * period + r] for k in range(periods)) / periods for r in range(period)]
        mean = sum(means) / period
        return sum((m - mean) ** 2 for m in means) / period / mean**2

    expected = (energy(luma) + energy([list(column) for column in zip(*luma, strict=True)])) / 2
    assert figures.patch_grid(images, period).item() == pytest.approx(expected, rel=1e-4)


def test_a_grid_of_patches_stands_out_and_a_smooth_image_has_none():
    smooth = torch.linspace(0, 1, 65).expand(1, 1, 3, 65, 65)
    assert figures.patch_grid(smooth, 8).item() < 1e-6
    blocks = noise(1, 1, 3, 8, 8).repeat_interleave(8, -1).repeat_interleave(8, -2)
    assert figures.patch_grid(blocks, 8).item() == pytest.approx(7, rel=1e-4)  # p - 1: nothing but a grid
    assert figures.patch_grid(noise(1, 1, 3, 64, 64), 8).item() < 0.05


@pytest.mark.parametrize("images", [torch.full((1, 2, 3, 16, 16), 0.5), torch.rand(1, 2, 3, 6, 6)])
def test_an_image_without_edges_or_without_a_whole_period_has_no_grid(images):
    assert figures.patch_grid(images, 8).tolist() == [0]
