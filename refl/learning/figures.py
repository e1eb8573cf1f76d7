"""What is measured of a generator's images without a reward, so that what a reward does not see is seen.

Letters: B prompts, S seeds of a prompt, H W pixels, p a period in pixels. Images are RGB in 0..1.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from refl.learning.sampling import to_tensor

LUMA = (0.2126, 0.7152, 0.0722)  # of red, green and blue: ITU-R BT.709
THUMBNAIL = 32  # ours: pixels wide; large enough for layout and colour, too small for noise
DARK = 0.1  # ours: luma below this is dark
COLOURS = 8  # ours: levels of each channel in the histogram of colours


def thumbnails(images: Tensor) -> Tensor:
    """Shrink images to what distances are taken in, by averaging. (..., 3, H, W) -> (..., 3, h, w)"""
    height, width = (min(THUMBNAIL, length) for length in images.shape[-2:])
    shrunk = F.adaptive_avg_pool2d(images.flatten(0, -4), (height, width))  # (N, 3, h, w)
    return shrunk.reshape(*images.shape[:-2], height, width)


def distance(first: Tensor, second: Tensor) -> Tensor:
    """Root mean square difference of thumbnails, over channels and pixels. (..., 3, h, w) -> (...)"""
    return (first - second).square().mean((-3, -2, -1)).sqrt()


def diversity(small: Tensor) -> Tensor:
    """Mean distance between the images of two seeds of one prompt, over all pairs of seeds. (B,)

    Args: small: thumbnails (B, S, 3, h, w) of 2 seeds or more.
    Source: Zhu et al., arXiv 1711.11586, section 5.2, who take LPIPS where this takes thumbnails.
    """
    first, second = torch.triu_indices(small.shape[1], small.shape[1], offset=1)  # (pairs,) each
    return distance(small[:, first], small[:, second]).mean(1)


def diversity_of_pictures(groups: Sequence[Sequence[Image.Image]]) -> list[float]:
    """The same of pictures. Args: groups: of each prompt the pictures of its seeds, all of one size."""
    return diversity(thumbnails(torch.stack([to_tensor(group) for group in groups]))).tolist()


def drift(small: Tensor, base: Tensor) -> Tensor:
    """Mean distance of images from the base's of the same prompts and seeds. (B,)

    In units of the base's own diversity: at 1 an image is as far from the base's as that of another seed.

    Args: small, base: thumbnails (B, S, 3, h, w).
    """
    unit = diversity(base).mean().clamp(min=1e-6)
    return distance(small, base).mean(1) / unit


def dark_share(images: Tensor) -> Tensor:
    """Share of dark pixels. (B, S, 3, H, W) -> (B,)"""
    return (_luma(images) < DARK).float().mean((-3, -2, -1))


def colour_entropy(images: Tensor) -> Tensor:
    """Entropy of each image's histogram of 8 x 8 x 8 colours, mean of the seeds; in bits, 0 to 9. (B,)

    Args: images: (B, S, 3, H, W).
    Source: Shannon, 1948.
    """
    levels = (images * COLOURS).long().clamp(0, COLOURS - 1)  # (B, S, 3, H, W)
    red, green, blue = levels.unbind(2)
    cells = ((red * COLOURS + green) * COLOURS + blue).flatten(0, 1).flatten(1)  # (B*S, H*W)
    counts = torch.zeros(len(cells), COLOURS**3, device=cells.device)
    counts.scatter_add_(1, cells, torch.ones_like(cells, dtype=counts.dtype))
    shares = counts / cells.shape[1]
    entropy = -torch.xlogy(shares, shares).sum(1) / torch.log(torch.tensor(2.0))  # (B*S,)
    return entropy.reshape(images.shape[:2]).mean(1)


def patch_grid(images: Tensor, period: int) -> Tensor:
    """Energy of a grid of lines `period` pixels apart, relative to all edges of the image. (B,)

    Differences of neighbouring pixels are averaged by their place in the period, m_0 .. m_{p-1}; the energy
    is their variance by the square of their mean. That is the power of the profile of differences at the
    multiples of 1/p of the sampling rate, by that at 0. 0 is no grid, p - 1 nothing but a grid. Of an image
    with no whole period of differences, and of a flat one, it is 0.

    Args: images: (B, S, 3, H, W).
    Returns: the mean of both directions, of a prompt's images together.
    Source: after Wang, Bovik and Evans, Blind measurement of blocking artifacts in images, ICIP 2000.
    """
    luma = _luma(images)  # (B, S, H, W)
    across = luma.diff(dim=-1).abs().mean((1, 2))  # (B, W - 1)
    down = luma.diff(dim=-2).abs().mean((1, 3))  # (B, H - 1)
    return (_periodic_energy(across, period) + _periodic_energy(down, period)) / 2


def _periodic_energy(profile: Tensor, period: int) -> Tensor:
    periods = profile.shape[1] // period
    if periods == 0:
        return torch.zeros(len(profile), device=profile.device)
    folded = profile[:, : periods * period].reshape(-1, periods, period).mean(1)  # (B, p)
    mean = folded.mean(1)  # (B,)
    return folded.var(1, unbiased=False) / mean.square().clamp(min=1e-12)


def _luma(images: Tensor) -> Tensor:
    """(..., 3, H, W) -> (..., H, W)"""
    weights = torch.tensor(LUMA, device=images.device, dtype=images.dtype)
    return (images * weights[:, None, None]).sum(-3)
