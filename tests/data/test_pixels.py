"""Every kind of number and channel that files hold, shown on one scale: right values computed by numpy."""

import io
import itertools
import struct
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from regraft.data import Preprocessing, decode, scan, survey
from regraft.data.decode import INTERPOLATIONS, measure
from regraft.data.numbers import Room, to_bytes
from regraft.errors import BadImage, ConfigError

SIDE = 8
SQUARE = Preprocessing(size=SIDE, resize=SIDE, interpolation="nearest")  # comes through unchanged
RNG = np.random.default_rng(7)


def tiff(values, **options):
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, values, **options)
    return buffer.getvalue()


def deep(channels, top=4095, dtype=np.uint16):
    """Draw [SIDE, SIDE, channels]; the last value is the top, so that the bits are those of it."""
    values = RNG.integers(0, top + 1, (SIDE, SIDE, channels)).astype(dtype)
    values[-1, -1] = top
    return values


def scaled(values, low, high):
    """Say independently what is right: uint8 of a scale that ends at high, rounded half up."""
    return np.floor(np.clip((values.astype(np.float64) - low) / (high - low), 0, 1) * 255 + 0.5).astype(np.uint8)


def shown(content, **look):
    return decode(content, replace(SQUARE, **look)).astype(int)


def assert_shown(content, expected, **look):
    expected = np.broadcast_to(expected if expected.ndim == 3 else expected[..., None], (SIDE, SIDE, 3))
    np.testing.assert_allclose(shown(content, **look), expected, atol=1)


def pages(values):
    return np.ascontiguousarray(np.moveaxis(values, 2, 0))


# ---- channels --------------------------------------------------------------------------------------------------------

LAYOUTS = {
    "ImageJ CYX": lambda v: tiff(pages(v), imagej=True, metadata={"axes": "CYX"}),
    "OME CYX": lambda v: tiff(pages(v), ome=True, metadata={"axes": "CYX"}),
    "OME YXS": lambda v: tiff(v, ome=True, metadata={"axes": "YXS"}, photometric="minisblack", planarconfig="contig"),
    "plain pages": lambda v: tiff(pages(v), photometric="minisblack", metadata=None),
    "one page in planes": lambda v: tiff(pages(v), photometric="minisblack", planarconfig="separate", metadata=None),
    "one page, pixel by pixel": lambda v: tiff(v, photometric="minisblack", planarconfig="contig", metadata=None),
    "big-endian": lambda v: tiff(pages(v), photometric="minisblack", byteorder=">", metadata=None),
    "deflate, tiles": lambda v: tiff(
        pages(v), photometric="minisblack", compression="zlib", predictor=True, tile=(16, 16), metadata=None
    ),
    "one page written for all": lambda v: tiff(pages(v), photometric="minisblack", contiguous=True, truncate=True),
}


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_three_channels_are_red_green_and_blue_wherever_they_lie_in_a_file(layout, dtype):
    top = np.iinfo(dtype).max
    values = deep(3, top, dtype)
    assert_shown(LAYOUTS[layout](values), scaled(values, 0, top), value_range=(0, top))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_of_many_channels_those_are_shown_that_are_chosen(layout):
    values = deep(5)
    content = LAYOUTS[layout](values)
    with pytest.raises(BadImage, match="channels='0,1,2'"):
        shown(content, value_range=(0, 4095))
    expected = scaled(values, 0, 4095)
    assert_shown(content, expected[..., [4, 0, 2]], file_channels=(4, 0, 2), value_range=(0, 4095))
    assert_shown(content, expected[..., 3], file_channels=(3,), value_range=(0, 4095))
    two = np.dstack([expected[..., [1, 3]], np.zeros((SIDE, SIDE, 1))])
    assert_shown(content, two, file_channels=(1, 3), value_range=(0, 4095))
    with pytest.raises(BadImage, match="no channel 5: it has channels 0 to 4"):
        shown(content, file_channels=(5,), value_range=(0, 4095))


def test_two_channels_are_not_guessed():
    for layout in LAYOUTS.values():
        with pytest.raises(BadImage, match=r"2 .*channels='0,1'"):
            shown(layout(deep(2)), value_range=(0, 4095))


@pytest.mark.parametrize(("axes", "shape"), [("ZCYX", (4, 2)), ("TZCYX", (2, 3, 2)), ("ZYX", (5,)), ("TYX", (4,))])
@pytest.mark.parametrize("kind", ["imagej", "ome"])
def test_slices_moments_and_channels_are_counted_in_the_order_of_the_file(axes, shape, kind):
    stack = RNG.integers(0, 4096, (*shape, SIDE, SIDE)).astype(np.uint16)
    content = tiff(stack, **{kind: True}, metadata={"axes": axes})
    with pytest.raises(BadImage, match="channels="):
        shown(content, value_range=(0, 4095))
    for plane, at in enumerate(itertools.product(*map(range, shape))):
        assert_shown(content, scaled(stack[at], 0, 4095), file_channels=(plane,), value_range=(0, 4095))


def test_channels_can_be_chosen_of_usual_pictures_too():
    colours = RNG.integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(colours).save(buffer, "png")
    assert_shown(buffer.getvalue(), colours[..., [2, 0, 1]], file_channels=(2, 0, 1))
    assert_shown(buffer.getvalue(), colours[..., 1], file_channels=(1,))


def test_a_fourth_band_that_is_no_alpha_is_not_dropped_in_silence():
    bands = RNG.integers(0, 256, (SIDE, SIDE, 4), np.uint8)
    unnamed = tiff(bands, photometric="rgb", extrasamples=["unspecified"])
    with pytest.raises(BadImage, match="4 channels"):
        shown(unnamed)
    assert_shown(unnamed, bands[..., [3, 0, 1]], file_channels=(3, 0, 1))


def test_alpha_of_16_bits_lies_on_white():
    values = deep(4, 65535)
    over = values[..., 3:] / 65535
    expected = np.rint(values[..., :3] / 257 * over + 255 * (1 - over))
    assert_shown(tiff(values, photometric="rgb", extrasamples=["unassalpha"]), expected)


def test_inks_of_16_bits_are_their_colours():
    inks = np.zeros((SIDE, SIDE, 4), np.uint16)
    inks[..., 0] = 65535  # cyan is white light without red
    assert_shown(tiff(inks, photometric="separated"), np.broadcast_to([0, 255, 255], (SIDE, SIDE, 3)))


def test_of_a_document_in_colour_the_first_page_is_shown_and_said(tmp_path):
    document = RNG.integers(0, 65536, (4, SIDE, SIDE, 3)).astype(np.uint16)
    content = tiff(document, photometric="rgb", metadata=None)
    assert_shown(content, scaled(document[0], 0, 65535))
    (tmp_path / "a.tif").write_bytes(content)
    assert survey([tmp_path / "a.tif"]).notices[0] == "1 pictures show the first of their 4 pages."


def test_lower_resolutions_of_the_same_picture_are_no_channels():
    large, small = (RNG.integers(0, 256, (side, side, 3), np.uint8) for side in (SIDE, SIDE // 2))
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        writer.write(large, photometric="rgb", metadata=None)
        writer.write(small, photometric="rgb", metadata=None, subfiletype=1)
    assert_shown(buffer.getvalue(), large)


@pytest.mark.parametrize(
    "options",
    [
        {"compression": "zlib"},
        {"compression": "zlib", "predictor": True},
        {"tile": (16, 16)},
        {"rowsperstrip": 3},
        {"byteorder": ">"},
        {"bigtiff": True},
        {"planarconfig": "separate"},
    ],
)
def test_how_a_tiff_is_packed_makes_no_difference(options):
    values = deep(3)
    rows = np.moveaxis(values, 2, 0) if "planarconfig" in options else values
    assert_shown(tiff(rows, photometric="rgb", **options), scaled(values, 0, 4095), value_range=(0, 4095))


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits", "zstd"])
@pytest.mark.parametrize("mode", ["I;16", "F"])
def test_what_libtiff_packs_is_unpacked(compression, mode):
    values = deep(1)[..., 0].astype(np.float32 if mode == "F" else np.uint16)
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, "tiff", compression=compression)
    assert_shown(buffer.getvalue(), scaled(values, 0, 4095), value_range=(0, 4095))


def lzw(data):
    """Pack bytes as TIFF's LZW does without ever using its table: each byte by itself, the table cleared in time."""
    bits = []
    for at, byte in enumerate(data):
        if at % 200 == 0:
            bits.append(256)
        bits.append(byte)
    text = "".join(f"{code:09b}" for code in (*bits, 257))
    return int(text.ljust(-(-len(text) // 8) * 8, "0"), 2).to_bytes(-(-len(text) // 8), "big")


@pytest.mark.parametrize("predictor", [1, 2])
def test_lzw_of_several_channels_is_unpacked_strip_by_strip(predictor):
    values = deep(3)
    content = bytearray(tiff(values, photometric="rgb", rowsperstrip=4, metadata=None))
    with tifffile.TiffFile(io.BytesIO(bytes(content))) as file:
        page = file.pages[0]
        strips = [
            bytes(content[at : at + count]) for at, count in zip(page.dataoffsets, page.databytecounts, strict=True)
        ]
        places = {name: page.tags[name].valueoffset for name in ("StripOffsets", "StripByteCounts", "Compression")}
        types = {name: page.tags[name].dtype for name in places}
    packed = []
    for strip in strips:
        rows = np.frombuffer(strip, "<u2").reshape(4, SIDE, 3)
        if predictor == 2:
            rows = np.concatenate([rows[:, :1], np.diff(rows, axis=1)], axis=1)
        packed.append(lzw(rows.tobytes()))
    for number, data in enumerate(packed):
        for name, value in (("StripOffsets", len(content)), ("StripByteCounts", len(data))):
            size = 2 if types[name] == 3 else 4
            at = places[name] + number * size
            content[at : at + size] = value.to_bytes(size, "little")
        content += data
    content[places["Compression"] : places["Compression"] + 2] = (5).to_bytes(2, "little")
    if predictor == 2:
        content = with_predictor(content)
    assert_shown(bytes(content), scaled(values, 0, 4095), value_range=(0, 4095))


def with_predictor(content):
    """Put a predictor of differences in the place of the tag for the resolution's unit, which says nothing here."""
    at = content.index((296).to_bytes(2, "little") + (3).to_bytes(2, "little"))
    content[at : at + 2] = (317).to_bytes(2, "little")
    content[at + 8 : at + 10] = (2).to_bytes(2, "little")
    return content


def test_reals_with_a_predictor_of_their_own_are_read():
    values = RNG.random((SIDE, SIDE)).astype(np.float32)
    # Adobe's technical note 3: big-endian bytes of equal weight together in a row, then differences
    rows = values.astype(">f4").view(np.uint8).reshape(SIDE, SIDE, 4).transpose(0, 2, 1).reshape(SIDE, -1)
    packed = np.concatenate([rows[:, :1], np.diff(rows, axis=1)], axis=1)
    stored = np.frombuffer(packed.tobytes(), "<f4").reshape(SIDE, SIDE)
    content = with_predictor(bytearray(tiff(stored, metadata=None)))
    at = content.index((317).to_bytes(2, "little") + (3).to_bytes(2, "little"))
    content[at + 8 : at + 10] = (3).to_bytes(2, "little")
    assert_shown(bytes(content), scaled(values, 0, 1), value_range=(0, 1))


def packed(values, bits):
    """Write grey pages of any number of bits as a TIFF: rows begin with a byte, the first value in its high bits."""
    content, after = bytearray(b"II*\0\0\0\0\0"), 4
    for page in values:
        rows = ["".join(f"{value:0{bits}b}" for value in row) for row in page]
        data = b"".join(int(row, 2).to_bytes(len(row) // 8, "big") for row in rows)
        fields = {256: SIDE, 257: SIDE, 258: bits, 259: 1, 262: 1, 273: len(content), 277: 1, 278: SIDE, 279: len(data)}
        content += data
        content[after : after + 4] = len(content).to_bytes(4, "little")
        entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in fields.items())
        content += struct.pack("<H", len(fields)) + entries
        after = len(content)
        content += bytes(4)
    return bytes(content)


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("bits", [1, 2, 4, 6, 10, 12, 14])
def test_any_number_of_bits_is_read(bits, count):
    top = 2**bits - 1
    values = deep(count, top)
    assert_shown(packed(np.moveaxis(values, 2, 0), bits), scaled(values, 0, top), value_range=(0, top))


def test_bits_are_black_and_white_whoever_writes_them():
    values = RNG.integers(0, 2, (SIDE, SIDE)).astype(bool)
    assert_shown(tiff(values, photometric="minisblack"), values * 255)
    assert_shown(tiff(values, photometric="miniswhite"), ~values * 255)


def test_later_pages_are_unpacked_like_the_first():
    values, buffer = deep(3), io.BytesIO()
    first, *others = (Image.fromarray(page) for page in pages(values))
    first.save(buffer, "tiff", save_all=True, append_images=others, compression="tiff_lzw")
    assert_shown(buffer.getvalue(), scaled(values, 0, 4095), value_range=(0, 4095))


# ---- PNG, PNM, JPEG 2000 ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_all_16_bits_of_a_png_are_read(channels):
    import zlib

    values = deep(channels)
    if channels in (2, 4):
        values[..., -1] = 65535  # opaque
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", SIDE, SIDE, 16, {1: 0, 2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    expected = scaled(values, 0, 4095)[..., : 1 if channels < 3 else 3]
    assert_shown(content, expected, value_range=(0, 4095))


@pytest.mark.parametrize("kind", [b"P5", b"P6"])
def test_pnm_of_more_than_8_bits_is_read_in_its_own_numbers(kind):
    values = deep(1 if kind == b"P5" else 3)
    content = kind + b"\n# drawn\n8 8\n4095\n" + values.astype(">u2").tobytes()
    assert_shown(content, scaled(values, 0, 4095), value_range=(0, 4095))
    with pytest.raises(BadImage, match="cut off"):
        shown(content[:-1], value_range=(0, 4095))


def test_jpeg_2000_of_16_bits_is_read_where_it_is_grey_and_else_refused():
    values, buffer = deep(1, 65535)[..., 0], io.BytesIO()
    Image.fromarray(values).save(buffer, "jpeg2000", irreversible=False)
    assert_shown(buffer.getvalue(), scaled(values, 0, 65535))
    colours = bytearray(encoded_colours())
    at = colours.index(b"\xff\x4f\xff\x51") + 42
    for part in range(3):
        colours[at + 3 * part] = 15  # 16 bits, as the head would say
    with pytest.raises(BadImage, match="JPEG 2000 of 3 channels and 16 bits"):
        shown(bytes(colours))


def encoded_colours():
    buffer = io.BytesIO()
    Image.fromarray(RNG.integers(0, 256, (SIDE, SIDE, 3), np.uint8)).save(buffer, "jpeg2000", irreversible=False)
    return buffer.getvalue()


def test_the_size_of_a_deep_picture_is_measured_from_its_head():
    assert measure(tiff(deep(5), photometric="minisblack", planarconfig="contig")) == (SIDE, SIDE, "uint16 x 5", 1.0)


# ---- one scale for a data set ----------------------------------------------------------------------------------------


def write(folder, *pictures):
    """Write arrays as grey TIFFs and return their paths."""
    folder.mkdir(exist_ok=True)
    paths = [folder / f"{number}.tif" for number in range(len(pictures))]
    for path, values in zip(paths, pictures, strict=True):
        tifffile.imwrite(path, values)
    return paths


def drawn(low, high, dtype):
    """Draw a picture whose values run from low to high."""
    values = RNG.uniform(low, high, (16, 16))
    values[0, 0], values[0, 1] = low, high
    return values.astype(dtype)


@pytest.mark.parametrize(
    ("low", "high", "dtype", "scale"),
    [
        (0, 1000, np.uint16, (0, 1023)),
        (30, 4095, np.uint16, (0, 4095)),
        (0, 10_000, np.uint16, (0, 16383)),
        (0, 60_000, np.uint16, (0, 65535)),
        (0, 200, np.uint16, (0, 255)),
        (0, 100_000, np.uint32, (0, 131071)),
        (0, 60_000, np.int32, (0, 65535)),
        (-1024, 3071, np.int16, (-1024, 3071)),
        (0.0, 1.0, np.float32, (0, 1)),
        (0.1, 0.9, np.float32, (0, 1)),
        (0.0, 1.03, np.float32, (0, np.float32(1.03))),
        (0.0, 0.2, np.float32, (0, np.float32(0.2))),
        (-1.0, 1.0, np.float32, (-1, 1)),
        (0.0, 250.0, np.float32, (0, 255)),
        (0.0, 300.0, np.float32, (0, 300)),
        (0.0, 65_000.0, np.float32, (0, 65535)),
        (5.0, 5.0, np.float32, (0, 5)),
        (0.0, 0.0, np.float32, (0, 1)),
        (0, 0, np.uint16, (0, 1)),
        (-3, -3, np.int16, (-3, -2)),
    ],
)
def test_the_scale_is_where_the_values_of_all_pictures_end(tmp_path, low, high, dtype, scale):
    dim = drawn(low, low + (high - low) / 10, dtype)
    found = survey(write(tmp_path, dim, drawn(low, high, dtype), dim))
    assert found.value_range == pytest.approx(scale)
    assert "3 of 3 pictures hold" in found.notices[0]
    assert f"{scale[0]:g} to {scale[1]:g}" in found.notices[0]


def test_a_dim_picture_stays_dim_beside_a_bright_one(tmp_path):
    paths = write(tmp_path, drawn(0, 40, np.uint16), drawn(0, 4000, np.uint16))
    look = replace(SQUARE, value_range=survey(paths).value_range)
    assert decode(paths[0].read_bytes(), look).max() <= 3
    assert decode(paths[1].read_bytes(), look).max() > 200


def test_pictures_of_8_bits_keep_their_own_scale_beside_deep_ones(tmp_path):
    (path,) = write(tmp_path, drawn(0, 4000, np.uint16))
    Image.new("L", (SIDE, SIDE), 77).save(tmp_path / "grey.png")
    found = survey([path, tmp_path / "grey.png"])
    assert "1 of 2 pictures" in found.notices[0]
    assert (shown((tmp_path / "grey.png").read_bytes(), value_range=found.value_range) == 77).all()


def test_a_scale_that_is_given_is_taken_and_what_lies_beyond_is_counted(tmp_path):
    paths = write(tmp_path, drawn(0, 4000, np.uint16), drawn(0, 90, np.uint16))
    found = survey(paths, value_range=(0, 100))
    assert found.value_range == (0, 100)
    assert any(notice.startswith("1 pictures reach beyond the scale 0 to 100") for notice in found.notices)


def test_holes_are_shown_as_the_low_end_and_counted(tmp_path):
    values = drawn(0.0, 1.0, np.float32)
    values[5:] = np.nan
    values[4] = np.inf
    (path,) = write(tmp_path, values)
    found = survey([path])
    assert found.value_range == (0, 1)
    assert "1 pictures hold values that are no numbers (NaN), which are shown as 0." in found.notices
    assert "1 pictures hold infinite values, which are shown as the ends of the scale." in found.notices
    pixels = decode(path.read_bytes(), Preprocessing(16, 16, "stretch", "nearest", value_range=(0, 1)))[..., 0]
    np.testing.assert_array_equal(pixels[:4], scaled(values[:4], 0, 1))
    assert (pixels[4] == 255).all()
    assert (pixels[5:] == 0).all()


def test_infinite_values_are_not_called_no_numbers(tmp_path):
    values = drawn(0.0, 1.0, np.float32)
    values[4, 4] = -np.inf
    said = " ".join(survey(write(tmp_path, values)).notices)
    assert "1 pictures hold infinite values" in said
    assert "NaN" not in said


@pytest.mark.parametrize("hot", [[3], range(10)])
def test_hot_pixels_do_not_darken_the_pictures(tmp_path, hot):
    pictures = [drawn(0, 4000, np.uint16).repeat(4, 0).repeat(4, 1) for _ in range(10)]
    for number in hot:
        pictures[number][7, 7:9] = 65535, 65000 - 9 * number
    found = survey(write(tmp_path, *pictures))
    assert found.value_range == (0, 4095)
    assert f"{len(hot)} pictures hold values far from all others (" in found.notices[1]


@pytest.mark.parametrize("code", [-9999, -3.4e38, 1e20])
@pytest.mark.parametrize("with_holes", [1, 6])
def test_a_code_for_no_data_does_not_become_an_end_of_the_scale_however_often_it_stands(tmp_path, code, with_holes):
    pictures = [drawn(200.0, 500.0, np.float32) for _ in range(6)]
    for values in pictures[:with_holes]:
        values[:, :10] = code
    pictures[5][15, 15] = 500
    found = survey(write(tmp_path, *pictures))
    assert found.value_range == (0, 500)
    assert f"{with_holes} pictures hold values far from all others ({np.float32(code):g})" in found.notices[1]
    assert not any("one colour" in notice for notice in found.notices)


def test_the_padding_of_a_scanner_below_its_values_is_no_value(tmp_path):
    values = drawn(-1024, 3071, np.int16)
    values[8:] = -32768
    assert survey(write(tmp_path, values)).value_range == (-1024, 3071)


@pytest.mark.parametrize("values", [(0, 65535), (0, 1, 2, 60_000), (0, 40_000, 65_535)])
def test_no_value_of_a_mask_is_out_of_place(tmp_path, values):
    masks = [RNG.choice(np.array(values, np.uint16), (16, 16)) for _ in range(4)]
    found = survey(write(tmp_path, *masks))
    assert found.value_range == (0, 65535)
    assert len(found.notices) == 1


def test_bright_spots_that_run_up_without_a_gap_are_no_faults(tmp_path):
    pictures = [RNG.normal(100, 5, (64, 64)).clip(1).astype(np.float32) for _ in range(4)]
    for values in pictures:  # a few stars: each about twice as bright as the next
        values[np.arange(6), np.arange(6)] = 200.0 * 2 ** np.arange(6)
    found = survey(write(tmp_path, *pictures))
    assert found.value_range == (0, 6400)
    assert len(found.notices) == 1


def test_whole_pictures_in_another_unit_are_no_faults(tmp_path):
    pictures = [*(drawn(0.0, 1.0, np.float32) for _ in range(9)), drawn(50_000.0, 60_000.0, np.float32)]
    found = survey(write(tmp_path, *pictures))
    assert found.value_range == (0, 65535)
    assert any(
        notice.startswith("9 of 10 pictures are one colour on the scale 0 to 65535:") for notice in found.notices
    )


def test_pictures_that_a_scale_leaves_in_one_colour_are_counted_by_class(tmp_path):
    pictures = [drawn(0, 4000, np.uint16) for _ in range(5)]
    pictures[0][:] = 7
    paths, labels = write(tmp_path, *pictures), ["cat", "cat", "cat", "dog", "dog"]
    (notice,) = [notice for notice in survey(paths, labels=labels).notices if "one colour" in notice]
    assert "1 of 5 pictures are one colour on the scale 0 to 4095 (1 of 3 of cat)" in notice
    found = survey(paths, labels=labels, value_range=(50_000, 60_000))
    (notice,) = [notice for notice in found.notices if "one colour" in notice]
    assert "5 of 5" in notice
    assert "(all 3 of cat, all 2 of dog)" in notice
    assert "--range LO:HI" in notice


@pytest.mark.parametrize(("top", "told"), [(1, True), (20, True), (60, False)])
def test_classes_in_other_units_are_said(tmp_path, top, told):
    dim, bright = ([drawn(0.0, end, np.float32) for _ in range(4)] for end in (top, 255.0))
    notices = survey(write(tmp_path, *dim, *bright), labels=["cat"] * 4 + ["dog"] * 4).notices
    said = [
        notice
        for notice in notices
        if notice.startswith(f"The values of dog usually reach 255, and those of cat {top}")
    ]
    assert len(said) == told


@pytest.mark.parametrize("deep", [[4, 5, 6, 7], [0, 1, 4, 5]])
def test_classes_with_other_bits_are_said(tmp_path, deep):
    pictures = [np.full((16, 16), 9, np.uint8) for _ in range(8)]
    for number in deep:
        pictures[number] = drawn(0, 4000, np.uint16)
    notices = survey(write(tmp_path, *pictures), labels=["cat"] * 4 + ["dog"] * 4).notices
    said = ["100% of the pictures of dog have more than 8 bits, and 0% of those of cat" in notice for notice in notices]
    assert any(said) is (deep[0] == 4)


def test_most_pictures_with_open_channels_are_refused_in_one_line(tmp_path):
    for number in range(4):
        tifffile.imwrite(tmp_path / f"{number}.tif", pages(deep(5)), imagej=True, metadata={"axes": "CYX"})
    paths = sorted(tmp_path.glob("*.tif"))
    with pytest.raises(ConfigError, match=r"4 of 4 pictures hold 5 channels, .*channels='0,1,2', or one of 0 to 4"):
        survey(paths)
    assert survey(paths, channels=(4,)).value_range == (0, 4095)


def test_usual_pictures_need_no_scale(tmp_path):
    Image.new("RGB", (SIDE, SIDE), (1, 2, 3)).save(tmp_path / "a.png")
    assert survey([tmp_path / "a.png"]).value_range is None
    (notice,) = survey([tmp_path / "a.png"], value_range=(0, 100)).notices
    assert "--range has no effect" in notice


@given(
    low=st.floats(-1e6, 1e6), span=st.floats(1e-3, 1e6), dtype=st.sampled_from([np.int16, np.uint16, np.float32, "f8"])
)
def test_scaling_never_leaves_0_to_255_and_never_turns_the_order_of_values(low, span, dtype):
    limits = (-32000, 32000) if dtype == np.int16 else (0, 65000) if dtype == np.uint16 else (-1e7, 1e7)
    values = np.linspace(*limits, 500).astype(dtype)
    pixels = to_bytes(values, (low, low + span)).astype(int)
    np.testing.assert_array_equal(pixels, scaled(values, low, low + span))
    assert (np.diff(pixels) >= 0).all()


# ---- huge pictures ---------------------------------------------------------------------------------------------------


def test_a_setting_reads_larger_pictures_and_the_reason_names_it():
    buffer = io.BytesIO()
    Image.new("L", (1500, 1000), 9).save(buffer, "png")
    with pytest.raises(BadImage, match=r"1500x1000 = 1\.5 megapixels, more than 1: max_megapixels=2 reads it"):
        shown(buffer.getvalue(), max_megapixels=1)
    assert (shown(buffer.getvalue(), max_megapixels=2) == 9).all()


def test_a_plain_jpeg_of_too_many_pixels_is_read_small():
    y, x = np.mgrid[:1200, :1600]
    smooth = np.stack([127 + 120 * np.sin(x / 90), 127 + 120 * np.cos(y / 70), (x + y) / 12], -1).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(smooth).save(buffer, "jpeg", quality=95)
    look = Preprocessing(size=64, resize=64, fit="stretch")
    small = decode(buffer.getvalue(), replace(look, max_megapixels=1)).astype(int)
    assert np.abs(small - decode(buffer.getvalue(), replace(look, max_megapixels=2))).max() <= 6


@pytest.mark.parametrize(
    "options", [{"rowsperstrip": 7}, {"tile": (32, 48)}, {"tile": (16, 16), "compression": "zlib"}]
)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_tiff_of_too_many_pixels_is_read_as_means_of_squares(options, channels, dtype):
    values = RNG.integers(0, np.iinfo(dtype).max + 1, (1030, 2013, channels)).astype(dtype)
    content = tiff(values, photometric="rgb" if channels == 3 else "minisblack", **options)
    padded = np.pad(values.astype(float), ((0, 2), (0, 3), (0, 0)), constant_values=np.nan)
    squares = padded[:1032, :2016].reshape(258 * 2, 2, 504 * 2, 2, channels)
    means = scaled(np.floor(np.nanmean(squares[:515, :, :1007], axis=(1, 3))), 0, np.iinfo(dtype).max)
    look = Preprocessing(size=64, resize=64, fit="stretch", max_megapixels=1)
    image = Image.fromarray(means[..., 0] if channels == 1 else means).convert("RGB")
    expected = np.asarray(image.resize((64, 64), Image.Resampling.BILINEAR)).astype(int)
    np.testing.assert_allclose(decode(content, look).astype(int), expected, atol=1)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P"])
@pytest.mark.parametrize("way", INTERPOLATIONS)
@pytest.mark.parametrize("fit", ["crop", "stretch"])
def test_what_is_made_small_strip_by_strip_is_as_if_it_were_made_so_at_once(mode, way, fit):
    y, x = np.mgrid[:1501, :1103]  # more pixels than are taken at once
    image = Image.fromarray(np.stack([x % 251, y % 241, (x + y) % 256, x * y % 256], -1).astype(np.uint8))
    image = image if mode == "RGBA" else image.convert("RGB").convert(mode)
    buffer = io.BytesIO()
    image.save(buffer, "png", compress_level=1)
    over = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA")).convert("RGB")
    side = 1103 * 60 / 64
    box = (
        (0, 0, 1103, 1501)
        if fit == "stretch"
        else ((1103 - side) / 2, (1501 - side) / 2, (1103 + side) / 2, (1501 + side) / 2)
    )
    expected = np.asarray(over.resize((60, 60), INTERPOLATIONS[way], box=box))
    np.testing.assert_array_equal(decode(buffer.getvalue(), Preprocessing(60, 64, fit, way)), expected)


def test_deep_pictures_are_made_small_strip_by_strip_too():
    values = RNG.integers(0, 4096, (1501, 1103, 4)).astype(np.uint16)
    content = tiff(values, photometric="rgb", extrasamples=["unassalpha"])
    colours, over = (scaled(part, 0, top) for part, top in ((values[..., :3], 4095), (values[..., 3:], 65535)))
    whole = Image.composite(
        Image.fromarray(colours), Image.new("RGB", (1103, 1501), "white"), Image.fromarray(over[..., 0])
    )
    expected = np.asarray(whole.resize((64, 64), Image.Resampling.BILINEAR))
    look = Preprocessing(64, 64, "stretch", value_range=(0, 4095))
    np.testing.assert_array_equal(decode(content, look), expected)


DECODING = """
import re, sys
from pathlib import Path
from regraft.data import Preprocessing, decode

def told(what):
    return int(re.search(what + r":\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])

large, small = (Path(name).read_bytes() for name in sys.argv[1:])
decode(small, Preprocessing())  # what is loaded for the first picture is not its size
Path("/proc/self/clear_refs").write_text("5")  # the peak begins here, and not where the parent's was
before = told("VmRSS")
decode(large, Preprocessing())
print(told("VmHWM") - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the peak from a moment on")
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_of_a_large_picture_there_is_no_second_copy(tmp_path, mode):
    Image.new(mode, (6000, 4000), (9, 90, 200, 128)[: len(mode)]).save(tmp_path / "large.png", compress_level=1)
    Image.new(mode, (60, 40)).save(tmp_path / "small.png")
    command = [sys.executable, "-c", DECODING, tmp_path / "large.png", tmp_path / "small.png"]
    peak_kb = int(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
    assert 0 < peak_kb * 1000 < 1.5 * 6000 * 4000 * 4


def test_what_threads_hold_together_is_bounded():
    import threading

    room, held, most = Room(100), [0], []
    lock = threading.Lock()

    def work(size):
        with room.hold(size):
            with lock:
                held[0] += size
                most.append((held[0], size))
            with lock:
                held[0] -= size

    threads = [threading.Thread(target=work, args=(size,)) for size in [60, 60, 30, 30, 250, 10] * 20]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(most) == 120
    assert all(total <= 100 or total == size for total, size in most)  # one larger than the room is alone in it


# ---- the story -------------------------------------------------------------------------------------------------------


def test_scan_to_decode_every_16_bit_picture_of_a_class_folder_is_on_one_scale(tmp_path):
    write(tmp_path / "dim", *(drawn(0, 400, np.uint16) for _ in range(3)))
    write(tmp_path / "bright", *(drawn(0, 4000, np.uint16) for _ in range(3)))
    paths = [item.path for item in scan(tmp_path).items]
    look = replace(SQUARE, value_range=survey(paths).value_range)
    means = [decode(path.read_bytes(), look).mean() for path in paths]
    assert max(means[3:]) < 20 < 80 < min(means[:3])
