"""Real files with EXIF, written by Pillow -> the groups that their heads tell; DICOM's are in test_dicom.py."""

import io
import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image

from regraft.data import Reading, digest, header_namings, scan
from regraft.data.headers import headers, is_tag
from regraft.errors import DataError

CAMERA, DATE, DAY = "BodySerialNumber", "DateTimeOriginal", "DateTimeOriginal:day"
TAG_OF = {name: tag for tag, name in ExifTags.TAGS.items()}
IN_FIRST_DIRECTORY = ("Model", "Artist", "DateTime")  # the others lie in that of Exif
FORMATS = {"jpg": "JPEG", "png": "PNG", "tif": "TIFF", "webp": "WEBP"}


def exif(**tags):
    """Return the bytes of EXIF with these tags, each where the standard has it."""
    found = Image.Exif()
    for name, value in tags.items():
        place = found if name in IN_FIRST_DIRECTORY else found.get_ifd(ExifTags.IFD.Exif)
        place[TAG_OF[name]] = value
    return found.tobytes()


def photograph(kind="JPEG", side=16, **tags):
    pixels = np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, exif=exif(**tags))
    return buffer.getvalue()


def written(folder, *contents, suffix="jpg"):
    paths = [folder / f"{number}.{suffix}" for number in range(len(contents))]
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(content)
    return paths


@pytest.mark.parametrize("suffix", FORMATS)
def test_every_format_that_holds_exif_tells_what_it_says(suffix, tmp_path):
    content = photograph(FORMATS[suffix], Model="Lumix", BodySerialNumber="A17", DateTimeOriginal="2024:05:03 10:11:12")
    (path,) = written(tmp_path, content, suffix=suffix)
    (found,) = headers([path], "Model", CAMERA, DATE, DAY, "Artist")
    assert found == ("Lumix", "A17", "2024:05:03 10:11:12", "2024-05-03", None)


def test_heic_tells_what_it_says(tmp_path):
    pillow_heif = pytest.importorskip("pillow_heif")
    picture = Image.new("RGB", (64, 64), "green")
    pillow_heif.from_pillow(picture).save(tmp_path / "a.heic", exif=exif(BodySerialNumber="A17"))
    assert headers([tmp_path / "a.heic"], CAMERA) == [("A17",)]


def test_only_the_head_of_a_file_is_read(tmp_path):
    for suffix in ("jpg", "png"):
        content = photograph(FORMATS[suffix], side=256, BodySerialNumber="A17")
        (path,) = written(tmp_path, content[:2000], suffix=suffix)  # nearly all pixels are missing
        assert headers([path], CAMERA) == [("A17",)]


@pytest.mark.parametrize("value", ["", "0000:00:00 00:00:00", "    :  :     :  :  ", "0", "00000000", "\0\0"])
def test_what_cameras_write_that_do_not_know_is_nothing(value, tmp_path):
    (path,) = written(tmp_path, photograph(BodySerialNumber=value, DateTimeOriginal=value))
    assert headers([path], CAMERA, DATE, DAY) == [(None, None, None)]


@pytest.mark.parametrize("word", ["Unknown", "ANONYMOUS", "N/A", "none"])
def test_a_word_for_nothing_in_a_header_is_no_group(word, tmp_path):
    (path,) = written(tmp_path, photograph(Artist=word))
    assert headers([path], "Artist") == [(None,)]


def test_numbers_of_exif_are_told_as_numbers_and_have_no_day(tmp_path):
    (path,) = written(tmp_path, photograph(ISOSpeedRatings=400, Flash=0))
    assert headers([path], "ISOSpeedRatings", "Flash", "Flash:day") == [("400", "0", None)]


def test_other_files_have_no_header(tmp_path):
    (tmp_path / "a.png").write_bytes(b"no picture")
    (tmp_path / "a.gif").write_bytes(b"GIF89a")
    os.mkfifo(tmp_path / "pipe.jpg")
    names = ("a.png", "a.gif", "none.dcm", "pipe.jpg")
    assert headers([tmp_path / name for name in names], "PatientID", CAMERA) == [(None, None)] * 4


@given(st.sampled_from(list(FORMATS.values())), st.floats(0, 1), st.integers(0, 255))
@settings(max_examples=60, deadline=None)
@pytest.mark.filterwarnings("ignore::UserWarning")  # the command line silences those of Pillow
def test_a_damaged_head_is_no_error(tmp_path_factory, kind, place, byte):
    content = bytearray(photograph(kind, BodySerialNumber="A17", DateTimeOriginal="2024:05:03 10:11:12"))
    content[int(place * (len(content) - 1))] = byte
    folder = tmp_path_factory.mktemp("damaged")
    whole, cut = written(folder, bytes(content), bytes(content[: int(place * len(content))]))
    assert len(headers([whole, cut], CAMERA, DAY)) == 2


def test_only_names_of_the_standards_are_tags():
    assert all(is_tag(name) for name in (CAMERA, DATE, DAY, "ImageUniqueID", "Model", "Artist"))
    assert not any(is_tag(name) for name in ("model", "patient", r"^C\d+", ":day", "", "DateTimeOriginal:hour"))


# in a data set


@pytest.fixture
def photographs(tmp_path):
    """Pictures of two classes, by three cameras, on three days; two have no EXIF."""
    for label in ("bird", "fish"):
        (tmp_path / label).mkdir()
        said = [{CAMERA: f"N{at % 3}", DATE: f"2024:05:0{1 + at // 4} 10:00:{at:02d}"} for at in range(11)]
        written(tmp_path / label, *(photograph(**tags) for tags in [*said, {}]))
    return tmp_path


def test_a_scan_groups_by_camera_and_says_what_is_alone(photographs):
    manifest = scan(photographs, Reading(groups=CAMERA))
    cameras = [f"N{at % 3}" for at in range(11)]
    assert manifest.groups == [*cameras, "bird/11.jpg", *cameras, "fish/11.jpg"]
    assert manifest.notices == (
        "2 of 24 pictures have no BodySerialNumber in their header: each of them is a group of its own "
        "(bird/11.jpg, fish/11.jpg).",
    )


def test_a_scan_groups_by_day_and_without_it_by_second(photographs):
    days, seconds = (scan(photographs, Reading(groups=groups)).groups for groups in (DAY, DATE))
    assert days[:11] == [f"2024-05-0{1 + at // 4}" for at in range(11)]
    assert seconds[:11] == [f"2024:05:0{1 + at // 4} 10:00:{at:02d}" for at in range(11)]


def test_a_table_of_photographs_is_grouped_too_and_its_columns_go_first(photographs):
    rows = "".join(f"bird/{at}.jpg,bird,x{at}\nfish/{at}.jpg,fish,x{at}\n" for at in range(9))
    (photographs / "table.csv").write_text("path,label,Model\n" + rows)
    assert set(scan(photographs / "table.csv", Reading(groups=CAMERA)).groups) == {"N0", "N1", "N2"}
    assert set(scan(photographs / "table.csv", Reading(groups="Model")).groups) == {f"x{at}" for at in range(9)}


def test_a_tag_that_no_picture_has_is_refused_and_named(photographs):
    with pytest.raises(DataError, match=r"'LensModel' do not match 24 of 24 file names \(nor do their headers tell it"):
        scan(photographs, Reading(groups="LensModel"))


def test_the_ways_of_headers_are_the_groups_that_a_scan_makes(photographs):
    manifest = scan(photographs)
    ways = header_namings(manifest)
    assert [way.pattern for way in ways] == [CAMERA, DAY]
    for way in ways:
        assert way.groups == scan(photographs, Reading(groups=way.pattern)).groups
        assert "which 2 of 24 lack" in way.said


def test_a_tag_that_only_some_pictures_have_or_all_the_same_is_no_way(tmp_path):
    for label in ("bird", "fish"):
        (tmp_path / label).mkdir()
        one, few = {"DateTimeOriginal": "2024:05:01 10:00:00"}, {CAMERA: "N1"}
        written(tmp_path / label, *(photograph(**one, **(few if at < 3 else {})) for at in range(12)))
    assert header_namings(scan(tmp_path)) == []


def test_pictures_are_the_same_after_their_heads_were_read(photographs):
    paths = [item.path for item in scan(photographs).items]
    before = [digest(path.read_bytes()) for path in paths]
    headers(paths, CAMERA)
    assert [digest(path.read_bytes()) for path in paths] == before
