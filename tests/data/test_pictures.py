"""Whatever a person calls a picture becomes a file with a name, and is read as its file would be."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from regraft.data import Preprocessing, gathered, read_picture
from regraft.errors import ConfigError, DataMissing, NoImages
from regraft.utils.progress import Progress


def pixels_of(pictures: Any) -> list[np.ndarray]:
    look = Preprocessing(size=48, resize=48)
    with gathered(pictures) as found:
        return [read_picture(picture.path, look) for picture in found]


def names_of(pictures: Any, progress: Progress | None = None) -> list[str]:
    with gathered(pictures, progress) as found:
        return [picture.name for picture in found]


AS: dict[str, Callable[[Path], Any]] = {
    "str": str,
    "path": Path,
    "bytes": Path.read_bytes,
    "bytearray": lambda path: bytearray(path.read_bytes()),
    "pillow": Image.open,
    "array": lambda path: np.asarray(Image.open(path)),
    "open file": lambda path: path.open("rb"),
    "in memory": lambda path: io.BytesIO(path.read_bytes()),
    "list": lambda path: [str(path)],
    "generator": lambda path: (one for one in [path]),
    "array of names": lambda path: np.array([str(path)]),
    "arrays": lambda path: np.asarray(Image.open(path))[None],
    "glob": lambda path: f"{path.parent}/{path.stem}.*",
}


@pytest.mark.parametrize("kind", AS)
def test_a_picture_is_the_same_in_every_form(kind: str, drawn: Path) -> None:
    path = drawn / "red" / "red3.png"
    (found,) = pixels_of(AS[kind](path))
    np.testing.assert_array_equal(found, pixels_of(path)[0])


def test_an_open_file_is_read_again_when_it_was_read_to_its_end(drawn: Path) -> None:
    with (drawn / "red" / "red3.png").open("rb") as file:
        first, second = pixels_of([file, file])
    np.testing.assert_array_equal(first, second)


def test_a_file_that_gives_no_bytes_is_refused(drawn: Path) -> None:
    path = drawn / "red" / "red3.png"
    with path.open(encoding="utf-8") as text, pytest.raises(ConfigError, match=r"opened as text.*open\(name, 'rb'\)"):
        pixels_of(text)
    with path.open("rb") as file:
        pass
    with pytest.raises(ConfigError, match=r"red3.png is closed\. Give it while it is open"):
        pixels_of(file)


def test_home_and_file_addresses_are_paths(drawn: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(drawn))
    monkeypatch.setenv("USERPROFILE", str(drawn))
    path = str(drawn / "red" / "red3.png")
    assert names_of(["~/red/red3.png", Path("~/red/red3.png"), Path(path).as_uri()]) == [path] * 3


@pytest.mark.parametrize("mode", ["1", "L", "LA", "I;16", "P", "RGB", "RGBA", "CMYK"])
def test_a_pillow_image_is_seen_as_the_file_that_keeps_its_mode(mode: str, drawn: Path, tmp_path: Path) -> None:
    drawing = Image.open(drawn / "green" / "green1.png")
    image = drawing.convert(mode) if mode != "I;16" else Image.fromarray(np.asarray(drawing.convert("L"), np.uint16))
    path = tmp_path / "a.tif"
    image.save(path)
    found, expected = pixels_of([image, path])
    assert np.abs(found.astype(int) - expected.astype(int)).mean() < 1


def test_the_orientation_that_exif_tells_holds_for_pillow_images_too(drawn: Path, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open(drawn / "red" / "red1.png").save(tmp_path / "lying.png", exif=exif)
    found, expected = pixels_of([Image.open(tmp_path / "lying.png"), tmp_path / "lying.png"])
    np.testing.assert_array_equal(found, expected)
    assert not np.array_equal(found, pixels_of(drawn / "red" / "red1.png")[0])


def test_a_folder_stands_for_all_pictures_below_it_and_one_str_is_no_list_of_letters(drawn: Path) -> None:
    everything = names_of(str(drawn))
    assert len(everything) == 32
    assert names_of(drawn) == names_of([drawn]) == everything
    assert names_of(f"{drawn}/**/*.png") == names_of(f"{drawn}/*") == everything
    assert names_of([drawn / "red", drawn / "blue" / "blue0.png"])[-1] == str(drawn / "blue" / "blue0.png")


def test_a_file_whose_name_looks_like_a_glob_is_that_file(drawn: Path) -> None:
    odd = (drawn / "red" / "red1.png").rename(drawn / "red" / "red[1].png")
    assert names_of(str(odd)) == [str(odd)]


def test_what_is_in_memory_is_called_by_its_file_or_by_its_number_and_leaves_nothing_behind(drawn: Path) -> None:
    path = drawn / "red" / "red3.png"
    with gathered([path, path.read_bytes(), Image.open(path), path.open("rb")]) as found:
        assert [picture.name for picture in found] == [str(path), "picture 2", str(path), str(path)]
        kept = [picture.path for picture in found]
        assert all(one.is_file() for one in kept)
    assert [one.exists() for one in kept] == [True, False, False, False]


@pytest.mark.parametrize(
    ("pictures", "kind", "said"),
    [
        ("https://example.org/cat.jpg", ConfigError, "Download it and give the file, or give the bytes"),
        ("nowhere.png", DataMissing, "nowhere.png does not exist"),
        ("*.nothing", DataMissing, "No file matches"),
        ("", ConfigError, "An empty path"),
        ([], NoImages, "nothing was given"),
        (3, ConfigError, "A int is no picture"),
        (None, ConfigError, "A NoneType is no picture"),
        ({"a": "b"}, ConfigError, "A dict is no picture"),
        (np.zeros((8, 8, 3)), ConfigError, r"float64 \[8, 8, 3\] is no picture. Expected uint8"),
        (np.zeros((3, 8, 8), np.uint8), ConfigError, r"uint8 \[3, 8, 8\] is no picture"),
        (np.zeros((0, 8), np.uint8), ConfigError, "is no picture"),
        (io.StringIO("text"), ConfigError, "opened as text"),
    ],
)
def test_what_is_no_picture_is_refused(
    pictures: object, kind: type[Exception], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(kind, match=said):
        names_of(pictures)


def test_a_table_is_no_picture_and_one_of_its_columns_is_a_list_of_them(drawn: Path) -> None:
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame({"path": [str(drawn / "red" / "red1.png")]})
    with pytest.raises(ConfigError, match="Give one column of it"):
        names_of(table)
    assert names_of(table["path"]) == list(table["path"])
