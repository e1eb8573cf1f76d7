"""Pictures of several generators side by side, each with its caption and what of it is right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache

from PIL import Image, ImageDraw, ImageFont

from demo.world.oracle import Examination, examine

MAGNIFIED = 3  # times
COLUMNS = 4  # captions in a row
GAP, BETWEEN_CAPTIONS = 6, 26  # px
LINE, CAPTION_LINES, HEADING = 19, 4, 30  # px
TEXT_SIZE = 15  # px
INK, RIGHT, WRONG = (30, 30, 30), (0, 120, 50), (190, 20, 20)


def contact_sheet(captions: Sequence[str], images: Mapping[str, Sequence[Image.Image]]) -> Image.Image:
    """Lay out one picture a caption and generator; the generators' pictures of a caption are neighbours.

    Under each stands its caption. A tick says that all of it is shown; otherwise a cross, and the words that
    are not shown are red and struck through. "+1" counts things that nobody asked for.

    Args: images: the generator's name -> its pictures, in the order of the captions, all of one size.
    Raises: NotACaption; ValueError when a generator has not as many pictures as there are captions.
    """
    if any(len(pictures) != len(captions) for pictures in images.values()):
        raise ValueError(f"each generator needs a picture of each of the {len(captions)} captions")
    side = next(iter(images.values()))[0].width * MAGNIFIED
    width = len(images) * (side + GAP) - GAP + BETWEEN_CAPTIONS
    height = side + GAP + CAPTION_LINES * LINE + BETWEEN_CAPTIONS
    rows = -(-len(captions) // COLUMNS)
    sheet = Image.new(
        "RGB", (COLUMNS * width + BETWEEN_CAPTIONS, HEADING + rows * height + GAP), (255, 255, 255)
    )
    draw = ImageDraw.Draw(sheet)
    for column in range(min(COLUMNS, len(captions))):
        for place, name in enumerate(images):
            left = BETWEEN_CAPTIONS + column * width + place * (side + GAP)
            draw.text((left, GAP), name, fill=INK, font=_font())
    for number, caption in enumerate(captions):
        row, column = divmod(number, COLUMNS)
        top = HEADING + row * height
        for place, pictures in enumerate(images.values()):
            left = BETWEEN_CAPTIONS + column * width + place * (side + GAP)
            picture = pictures[number]
            sheet.paste(picture.resize((side, side), Image.Resampling.NEAREST), (left, top))
            draw.rectangle((left - 1, top - 1, left + side, top + side), outline=(200, 200, 200))
            _write_caption(draw, examine(picture, caption), left, top + side + GAP, side)
    return sheet


def _write_caption(draw: ImageDraw.ImageDraw, examined: Examination, left: int, top: int, width: int) -> None:
    words = list(examined.words)
    if examined.surplus > 0:
        words.append((f"+{examined.surplus}", False))
    is_right = examined.verdict.is_right and all(shown for _, shown in words)
    _draw_mark(draw, left, top, is_right=is_right)
    x, y = float(left + LINE), top
    for word, shown in words:
        length = draw.textlength(word, font=_font())
        if x + length > left + width:
            x, y = left, y + LINE
        draw.text((x, y), word, fill=INK if shown else WRONG, font=_font())
        if not shown and not word.startswith("+"):
            draw.line((x, y + 10, x + length, y + 10), fill=WRONG)
        x += length + 5


def _draw_mark(draw: ImageDraw.ImageDraw, left: int, top: int, *, is_right: bool) -> None:
    """A tick or a cross."""
    if is_right:
        draw.line([(left + 1, top + 9), (left + 5, top + 14), (left + 13, top + 3)], fill=RIGHT, width=3)
    else:
        draw.line((left + 2, top + 4, left + 11, top + 13), fill=WRONG, width=2)
        draw.line((left + 2, top + 13, left + 11, top + 4), fill=WRONG, width=2)


@cache
def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(TEXT_SIZE)
