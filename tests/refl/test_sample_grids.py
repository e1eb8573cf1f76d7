"""Grids of samples, and the images that they are made of."""

import pytest
from PIL import Image

from refl.learning.sampling import grid
from refl.sample_grids import cell, cell_size


@pytest.mark.parametrize("count", [1, 3, 4, 5, 8])
def test_each_image_of_a_grid_is_found_again(count):
    images = [Image.new("RGB", (16, 24), (number, 10, 20)) for number in range(count)]
    sheet = grid(images)
    assert cell_size(sheet, count) == (16, 24)
    assert [cell(sheet, place, count).tobytes() for place in range(count)] == [
        image.tobytes() for image in images
    ]
