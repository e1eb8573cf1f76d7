"""Image files without metadata: nothing of it is left, and not a pixel, colour or turn is lost."""

import io
import zlib

import PIL.ExifTags
import PIL.Image
import PIL.ImageCms
import PIL.ImageOps
import PIL.PngImagePlugin
import pytest

from annotation.services.projects.metadata import BrokenImage, without_metadata

NAME = b"secretive-v9"  # what is written wherever a format has room for it
PROFILE = PIL.ImageCms.ImageCmsProfile(PIL.ImageCms.createProfile("sRGB")).tobytes()


def exif(orientation=1):
    told = PIL.Image.Exif()
    told[PIL.ExifTags.Base.Software] = told[PIL.ExifTags.Base.ImageDescription] = NAME.decode()
    told[PIL.ExifTags.Base.Orientation] = orientation
    return told


def drawn(mode="RGB", size=(40, 24)):
    """Noise, so that every pixel counts."""
    bands = [PIL.Image.effect_noise(size, 60 + 20 * band) for band in range(len(mode))]
    return PIL.Image.merge(mode, bands) if len(mode) > 1 else bands[0]


def saved(kind, mode="RGB", **options):
    file = io.BytesIO()
    drawn(mode).save(file, kind, **options)
    return file.getvalue()


def png(mode="RGB", **options):
    """A PNG that says its name in every kind of text, in its profile's name and behind its end."""
    told = PIL.PngImagePlugin.PngInfo()
    told.add_text("parameters", NAME.decode())
    told.add_text("zipped", NAME.decode(), zip=True)
    told.add_itxt("XML:com.adobe.xmp", NAME.decode())
    told.add(b"tIME", b"\x07\xea\3\1\0\0\0")
    told.add(b"gNAM", NAME)
    return saved("PNG", mode, pnginfo=told, **options) + NAME


def jpeg(mode="RGB", **options):
    """A JPEG that says its name in comments, in segments of several makers, and behind its end."""
    makers = b"".join(
        bytes((0xFF, marker)) + (len(NAME) + 2).to_bytes(2) + NAME for marker in (0xE3, 0xED, 0xEF)
    )
    whole = saved("JPEG", mode, comment=NAME, xmp=NAME, **options)
    return whole[:2] + makers + whole[2:] + NAME


def webp(mode="RGB", **options):
    return saved("WEBP", mode, xmp=NAME, **options) + NAME


FILES = {
    "png": lambda: png(exif=exif(), icc_profile=PROFILE),
    "png of shades": lambda: png("L", exif=exif()),
    "png that shines through": lambda: png("RGBA"),
    "jpeg": lambda: jpeg(exif=exif(), icc_profile=PROFILE, dpi=(72, 72)),
    "jpeg that sharpens as it loads": lambda: jpeg(exif=exif(), progressive=True),
    "jpeg with restarts": lambda: jpeg(exif=exif(), restart_marker_blocks=1),
    "jpeg of shades": lambda: jpeg("L"),
    "jpeg for print": lambda: jpeg("CMYK"),
    "webp": lambda: webp(exif=exif(), icc_profile=PROFILE),
    "webp that shines through": lambda: webp("RGBA", exif=exif()),
    "webp without loss": lambda: webp("RGBA", exif=exif(), lossless=True),
}


def kept(content, kind):
    return without_metadata(content, kind.split()[0])[0]


def opened(content):
    image = PIL.Image.open(io.BytesIO(content))
    image.load()
    return image


@pytest.mark.parametrize("kind", FILES)
def test_nothing_is_left_but_pixels_and_colours(kind):
    content = FILES[kind]()
    assert NAME in content
    left = kept(content, kind)
    before, after = opened(content), opened(left)
    assert NAME not in left
    assert not {"exif", "xmp", "comment", "dpi"} & set(after.info)
    assert (after.mode, after.size, after.tobytes()) == (before.mode, before.size, before.tobytes())
    assert after.info.get("icc_profile") == before.info.get("icc_profile")
    assert kept(left, kind) == left


@pytest.mark.parametrize("kind", ["png", "jpeg"])
def test_files_that_differ_in_metadata_alone_become_equal(kind):
    noise = drawn()
    files = []
    for number in range(2):
        file = io.BytesIO()
        noise.save(file, kind, exif=exif(), dpi=(72 + number, 72), icc_profile=PROFILE)
        files.append(file.getvalue() + bytes(number))
    assert files[0] != files[1]
    assert kept(files[0], kind) == kept(files[1], kind)


@pytest.mark.parametrize("kind", ["png", "jpeg"])
def test_a_file_without_metadata_stays_byte_for_byte(kind):
    content = saved(kind)
    assert kept(content, kind) == content


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["png", "jpeg", "webp"])
def test_a_picture_is_shown_the_way_up_it_was(kind, orientation):
    content = saved(kind, exif=exif(orientation))
    left, turned = without_metadata(content, kind)
    assert turned == orientation
    assert NAME not in left
    upright = [PIL.ImageOps.exif_transpose(opened(file)).convert("RGB") for file in (content, left)]
    assert upright[0].size == upright[1].size
    assert upright[0].tobytes() == upright[1].tobytes()


def test_exif_that_is_broken_is_dropped():
    whole = saved("JPEG", exif=exif(6))
    broken = whole.replace(b"MM\0*", b"??\0*").replace(b"II*\0", b"??*\0")
    assert broken != whole
    assert without_metadata(broken, "jpeg")[1] == 1


def test_the_pictures_behind_the_first_one_are_dropped():
    file = io.BytesIO()
    drawn().save(file, "MPO", save_all=True, append_images=[drawn(size=(8, 8))])
    left = kept(file.getvalue(), "jpeg")
    assert opened(left).format == "JPEG"
    assert opened(left).tobytes() == opened(file.getvalue()).tobytes()


def test_a_profile_keeps_its_colours_and_loses_its_name():
    body = b"iCCP" + NAME + b"\0\0" + zlib.compress(PROFILE)
    chunk = (len(body) - 4).to_bytes(4) + body + zlib.crc32(body).to_bytes(4)
    plain = saved("PNG")
    left = kept(plain[:33] + chunk + plain[33:], "png")
    assert NAME not in left
    assert opened(left).info["icc_profile"] == PROFILE


def test_an_animation_and_a_file_that_ends_too_early_are_refused():
    file = io.BytesIO()
    drawn().save(file, "WEBP", save_all=True, append_images=[drawn()])
    with pytest.raises(BrokenImage, match="animated"):
        without_metadata(file.getvalue(), "webp")
    for kind, end in (("png", -12), ("jpeg", 5), ("webp", 5)):
        with pytest.raises(BrokenImage, match="too early"):
            without_metadata(saved(kind)[:end], kind)
