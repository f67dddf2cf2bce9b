import contextlib
import importlib
import io
import random
import struct
import tracemalloc
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageOps

from regraft.config import Config
from regraft.data import Preprocessing, decode, digest
from regraft.data.decode import INTERPOLATIONS, decode_whole
from regraft.errors import BadImage, ConfigError, UnknownName

decoding = importlib.import_module("regraft.data.decode")  # beside it, the package has the function of that name
SQUARE = Preprocessing(size=8, resize=8, interpolation="nearest")  # an 8 x 8 picture comes through unchanged
RAMP = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4
COLOURS = np.stack([RAMP, RAMP.T, 255 - RAMP], axis=-1)  # [8, 8, 3]


def encode(image: Image.Image, kind: str = "png", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def reason(content: bytes) -> str:
    with pytest.raises(BadImage) as caught:
        decode(content, SQUARE)
    return str(caught.value)


@pytest.mark.parametrize("kind", ["png", "bmp", "tiff", "webp"])
def test_lossless_formats_come_through_unchanged(kind):
    options = {"lossless": True} if kind == "webp" else {}
    np.testing.assert_array_equal(decode(encode(Image.fromarray(COLOURS), kind, **options), SQUARE), COLOURS)


def test_a_model_may_be_told_of_as_many_megapixels_as_a_user():
    most = Config(max_megapixels=10_000).max_megapixels
    look = replace(SQUARE, max_megapixels=most)
    assert Preprocessing.from_dict(look.as_dict()) == look
    with pytest.raises(ConfigError):
        Config(max_megapixels=most + 1)
    with pytest.raises(ValueError, match="max_megapixels"):
        Preprocessing.from_dict(look.as_dict() | {"max_megapixels": most + 1})


def grey(values):
    return np.repeat(np.asarray(values, np.uint8)[..., None], 3, axis=-1)


def test_grey_pictures_get_three_equal_channels():
    np.testing.assert_array_equal(decode(encode(Image.fromarray(RAMP)), SQUARE), grey(RAMP))


def test_black_and_white_pictures_are_0_and_255():
    bits = RAMP > 100
    np.testing.assert_array_equal(decode(encode(Image.fromarray(bits)), SQUARE), grey(bits * 255))


@pytest.mark.parametrize("kind", ["png", "tiff"])
def test_16_bit_grey_is_divided_by_257(kind):
    np.testing.assert_array_equal(
        decode(encode(Image.fromarray(RAMP.astype(np.uint16) * 257), kind), SQUARE), grey(RAMP)
    )


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_numbers_without_a_scale_of_their_own_are_not_guessed(dtype):
    content = encode(Image.fromarray(RAMP.astype(dtype)), "tiff")
    assert "range=LO:HI" in reason(content)
    np.testing.assert_array_equal(decode(content, replace(SQUARE, value_range=(0, 255))), grey(RAMP))


def test_palettes_become_their_colours():
    image = Image.fromarray(RAMP // 4 % 4, "L").copy()
    image.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110, 120])
    table = np.array([[10, 20, 30], [40, 50, 60], [70, 80, 90], [100, 110, 120]], np.uint8)
    np.testing.assert_array_equal(decode(encode(image), SQUARE), table[RAMP // 4 % 4])


def test_transparency_lies_on_white():
    half = np.full((8, 8, 1), 128, np.uint8)
    expected = np.rint((COLOURS * 128.0 + 255 * 127.0) / 255)
    got = decode(encode(Image.fromarray(np.concatenate([COLOURS, half], axis=-1))), SQUARE)
    np.testing.assert_allclose(got, expected, atol=1)
    clear = Image.fromarray(np.dstack([RAMP, np.zeros_like(RAMP)]))  # LA
    assert (decode(encode(clear), SQUARE) == 255).all()
    palette = Image.new("P", (8, 8), 1)
    palette.putpalette([9, 9, 9, 50, 60, 70])
    assert (decode(encode(palette, transparency=1), SQUARE) == 255).all()


def test_cmyk_pictures_show_their_colours():
    ink = np.zeros((8, 8, 4), np.uint8)
    ink[..., 0] = 255  # cyan is white light without red
    for kind in ("tiff", "jpeg"):
        got = decode(encode(Image.fromarray(ink, "CMYK"), kind), SQUARE)
        np.testing.assert_allclose(got[4, 4], [0, 255, 255], atol=2)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["png", "tiff", "webp"])
def test_exif_orientation_is_followed(orientation, kind):
    turned = {  # the array operation that brings each orientation upright, as the EXIF standard defines them
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, -1),
        7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
        8: lambda a: np.rot90(a),
    }
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encode(Image.fromarray(COLOURS), kind, exif=exif, **({"lossless": True} if kind == "webp" else {}))
    np.testing.assert_array_equal(decode(content, SQUARE), turned[orientation](COLOURS))


def test_the_first_of_many_frames_is_taken():
    first, second = Image.fromarray(COLOURS), Image.fromarray(255 - COLOURS)
    content = encode(first, "tiff", save_all=True, append_images=[second])
    np.testing.assert_array_equal(decode(content, SQUARE), COLOURS)


@pytest.mark.parametrize(("width", "height"), [(300, 200), (200, 300), (128, 192), (48, 32)])
@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic", "lanczos"])
def test_one_step_equals_resizing_then_cropping(width, height, interpolation):
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8))
    resized = image.resize(
        (width * 64 // min(image.size), height * 64 // min(image.size)), INTERPOLATIONS[interpolation]
    )
    x, y = (resized.width - 56) // 2, (resized.height - 56) // 2
    two_steps = np.asarray(resized.crop((x, y, x + 56, y + 56)), int)
    got = decode(encode(image), Preprocessing(size=56, resize=64, interpolation=interpolation))
    np.testing.assert_allclose(got, two_steps, atol=1)


@pytest.mark.parametrize(("width", "height"), [(1, 1), (2000, 3), (3, 2000)])
def test_the_strangest_shapes_become_squares(width, height):
    assert decode(encode(Image.new("RGB", (width, height), "red")), Preprocessing()).shape == (224, 224, 3)


def test_a_large_jpeg_is_decoded_small_to_the_same_picture():
    y, x = np.mgrid[:1200, :1600]
    smooth = np.stack([127 + 120 * np.sin(x / 90), 127 + 120 * np.cos(y / 70), (x + y) / 12], -1).astype(np.uint8)
    image = Image.fromarray(smooth)
    small = decode(encode(image, "jpeg", quality=95), Preprocessing()).astype(int)
    assert np.abs(small - decode(encode(image), Preprocessing())).max() <= 6


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp", "bmp", "tiff", "gif"])
@pytest.mark.parametrize("kept", [0.02, 0.3, 0.7, 0.98])
def test_a_file_that_is_cut_off_is_refused(kind, kept):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    content = encode(Image.fromarray(noise), kind)
    with pytest.raises(BadImage, match="cut off"):
        decode(content[: int(kept * len(content))], SQUARE)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("kind", ["png", "jpeg", "webp", "bmp", "tiff", "gif"])
def test_damaged_files_are_refused_or_read_but_never_break_the_run(kind):
    content = encode(Image.fromarray(COLOURS), kind)
    rng = random.Random(0)
    for _ in range(200):
        damaged = bytearray(content)
        for _ in range(rng.choice([1, 4, 16])):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        with contextlib.suppress(BadImage):
            assert decode(bytes(damaged), SQUARE).shape == (8, 8, 3)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "0 bytes"),
        (b"<html>404 not found</html>", "not a picture (text file?)"),
        (bytes(range(200)), "not a picture"),
    ],
)
def test_reasons_are_plain_words(content, expected):
    assert reason(content) == expected


def test_a_decompression_bomb_is_refused_from_its_header_without_a_warning():
    content = encode(Image.new("1", (12000, 9000)))  # 108 megapixels in a few kilobytes
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        assert reason(content) == "12000x9000 = 108 megapixels, more than 89: max_megapixels=108 reads it"
    assert not warned


def png_that_declares(width, height, extra=b""):
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", head) + extra + chunk(b"IDAT", zlib.compress(b"\0" * 9)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize(("width", "height"), [(89_000_000, 1), (1, 89_000_000), (9000, 9000), (2**31 - 1, 2**31 - 1)])
def test_a_file_of_a_few_bytes_that_declares_millions_of_pixels_takes_no_memory(width, height):
    tracemalloc.start()
    reason(png_that_declares(width, height))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1e6


def tiff_that_declares(tail=b"", following=0, **tags):
    """Return a TIFF of 100 x 100 grey values of 16 bits, but for the tags given as (number, type, count, value)."""
    usual = {
        "width": (256, 4, 1, 100),
        "height": (257, 4, 1, 100),
        "bits": (258, 3, 1, 16),
        "packed": (259, 3, 1, 1),
        "black": (262, 3, 1, 1),
        "at": (273, 4, 1, 8),
        "samples": (277, 3, 1, 1),
        "rows": (278, 4, 1, 100),
        "size": (279, 4, 1, 200),
    }
    fields = sorted((usual | tags).values())
    entries = b"".join(struct.pack("<HHII", *one) for one in fields)
    return struct.pack("<2sHIH", b"II", 42, 8, len(fields)) + entries + struct.pack("<I", following) + tail


LARGE = {"width": (256, 4, 1, 9000), "height": (257, 4, 1, 9000), "rows": (278, 4, 1, 9000)}
BOASTING = {
    "a side": {"width": (256, 4, 1, 2**31 - 1)},
    "a row": {"width": (256, 4, 1, 89_000_000), "height": (257, 4, 1, 1)},
    "samples": {**LARGE, "samples": (277, 3, 1, 65535)},
    "strips": {"at": (273, 4, 2**31 - 1, 8)},
    "rows of none": {"rows": (278, 4, 1, 0)},
    "pixels": LARGE,
    "pixels and deflate": {**LARGE, "packed": (259, 3, 1, 8)},
    "tiles of a pixel": {
        **LARGE,
        "wide": (322, 4, 1, 1),
        "high": (323, 4, 1, 1),
        "tiles": (324, 4, 1, 8),
        "sizes": (325, 4, 1, 2),
    },
    "bits": {"bits": (258, 3, 1, 65535)},
    "itself as the next page": {"following": 8},
    "planes of ImageJ": {
        "about": (270, 2, 60, 8 + 2 + 12 * 10 + 4),
        "tail": b"ImageJ=1.11a\nimages=1000000000\nchannels=1000000000\n".ljust(60),
    },
}


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("what", BOASTING)
def test_a_tiff_that_declares_what_it_does_not_hold_takes_no_memory(what):
    tracemalloc.start()
    reason(tiff_that_declares(**BOASTING[what]))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1e7


@pytest.mark.parametrize("kind", [b"zTXt", b"iCCP"])
def test_a_bomb_in_the_text_of_a_picture_ends_nothing(kind):
    body = b"name\0\0" + zlib.compress(bytes(10**8))
    extra = struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    with contextlib.suppress(BadImage):
        decode(png_that_declares(8, 8, extra), SQUARE)


@pytest.mark.parametrize(
    ("kind", "mode"), [("ppm", "RGB"), ("tga", "RGB"), ("jpeg2000", "RGB"), ("ppm", "L"), ("tga", "P")]
)
def test_less_usual_formats_come_through_unchanged(kind, mode):
    image = Image.fromarray(COLOURS).convert(mode)
    expected = np.asarray(image.convert("RGB"))
    np.testing.assert_array_equal(decode(encode(image, kind), SQUARE), expected)


def test_threads_decode_what_one_thread_decodes():
    contents = [encode(Image.fromarray(np.roll(COLOURS, k, 0)), "jpeg") for k in range(64)]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda content: decode(content, SQUARE), contents))
    np.testing.assert_array_equal(together, [decode(content, SQUARE) for content in contents])


@pytest.mark.parametrize(("width", "height"), [(300, 200), (40, 300), (56, 56)])
def test_stretching_shows_the_whole_picture(width, height):
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8))
    narrow = image.resize((56, height), Image.Resampling.BILINEAR)  # both at once, Pillow's version says which is first
    whole = np.asarray(narrow.resize((56, 56), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(decode(encode(image), Preprocessing(size=56, resize=64, fit="stretch")), whole)


@pytest.mark.parametrize("fit", ["crop", "stretch"])
@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_a_tall_picture_is_the_same_in_strips_and_at_once(interpolation, fit, monkeypatch):
    tall = encode(Image.fromarray(np.random.default_rng(0).integers(0, 256, (400, 90, 3), np.uint8)))
    look = Preprocessing(size=56, resize=64, fit=fit, interpolation=interpolation)
    at_once = decode(tall, look)
    monkeypatch.setattr(decoding, "AT_ONCE", 90 * 7)
    np.testing.assert_array_equal(decode(tall, look), at_once)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_whole_picture_is_upright_and_keeps_its_size(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    Image.fromarray(COLOURS).resize((1200, 900)).save(file, "JPEG", exif=exif)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(file)))
    np.testing.assert_array_equal(decode_whole(file.getvalue(), SQUARE), expected)


def test_preprocessing_survives_json():
    caffe = Preprocessing(fit="stretch", scale=255.0, channels="BGR", mean=(104.0, 117.0, 128.0), std=(1.0, 1.0, 1.0))
    assert Preprocessing.from_dict(caffe.as_dict()) == caffe


def test_impossible_preprocessing_is_refused():
    with pytest.raises(ConfigError):
        Preprocessing(size=300, resize=256)
    with pytest.raises(UnknownName, match="Did you mean bicubic"):
        Preprocessing(interpolation="bicubik")
    with pytest.raises(UnknownName):
        Preprocessing(channels="RBG")
    with pytest.raises(UnknownName):
        Preprocessing(fit="squeeze")


def test_a_digest_names_the_content():
    assert digest(b"a") == digest(b"a") != digest(b"b")
    assert len(digest(b"")) == 32
