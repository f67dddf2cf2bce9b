"""Labelled pictures in memory become a table on the disk, and are read as that table would be."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest
from PIL import Image

from regraft.data import Manifest, as_source, read_digests, scan
from regraft.errors import ConfigError, DataError, DataMissing


def labelled(folder: Path) -> tuple[list[Path], list[str]]:
    paths = sorted(folder.rglob("*.png"))
    return paths, [path.parent.name for path in paths]


def read(data: Any) -> Manifest:
    return scan(as_source(data))


def told(manifest: Manifest) -> list[tuple[str, str]]:
    """Each picture's content and class, whatever it is called."""
    digests = read_digests([item.path for item in manifest.items])
    return sorted(
        (str(digest), manifest.classes[item.label]) for digest, item in zip(digests, manifest.items, strict=True)
    )


def columns(folder: Path) -> dict[str, list[str]]:
    paths, labels = labelled(folder)
    return {"path": [str(path) for path in paths], "label": labels}


def as_pandas(folder: Path) -> Any:
    return pytest.importorskip("pandas").DataFrame(columns(folder)).sample(frac=1, random_state=0)


def as_polars(folder: Path) -> Any:
    return pytest.importorskip("polars").DataFrame(columns(folder))


def as_arrow_with_bytes(folder: Path) -> Any:
    paths, labels = labelled(folder)
    pictures = [{"bytes": path.read_bytes(), "path": path.name} for path in paths]
    return pyarrow.table({"image": pictures, "label": labels})


FORMS: dict[str, Callable[[Path], Any]] = {
    "str": str,
    "pandas": as_pandas,
    "polars": as_polars,
    "arrow": lambda folder: pyarrow.table(columns(folder)),
    "arrow with bytes": as_arrow_with_bytes,
    "paths and labels": labelled,
    "bytes and labels": lambda folder: ([path.read_bytes() for path in labelled(folder)[0]], labelled(folder)[1]),
}


@pytest.mark.parametrize("form", FORMS)
def test_data_are_the_same_in_every_form(form: str, drawn: Path) -> None:
    assert told(read(FORMS[form](drawn))) == told(scan(drawn))


@pytest.mark.parametrize("form", [form for form in FORMS if form != "str"])
def test_the_same_data_lie_in_the_same_place(form: str, drawn: Path) -> None:
    assert as_source(FORMS[form](drawn)) == as_source(FORMS[form](drawn))


def test_images_and_arrays_are_saved_without_loss(drawn: Path) -> None:
    paths, labels = labelled(drawn)
    images = [Image.open(path) for path in paths]
    manifest = read((images, labels))
    names = [item.name for item in read((np.stack([np.asarray(image) for image in images]), labels)).items]
    assert [item.name for item in manifest.items] == names
    assert all(name.startswith("pictures/") for name in names)
    found = sorted(np.asarray(Image.open(item.path)).tobytes() for item in manifest.items)
    assert found == sorted(np.asarray(image).tobytes() for image in images)


def test_a_picture_that_comes_twice_is_two_pictures(drawn: Path) -> None:
    paths, labels = labelled(drawn)
    content = [path.read_bytes() for path in [*paths, paths[0]]]
    assert len(read((content, [*labels, "yellow"]))) == len(paths) + 1


def test_paths_in_a_data_frame_are_meant_from_where_the_user_is(drawn: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(drawn)
    table = {name: [cell.removeprefix(f"{drawn}/") for cell in cells] for name, cells in columns(drawn).items()}
    assert told(read(pyarrow.table(table))) == told(scan(drawn))


def test_numbers_are_labels_and_parts_are_kept(drawn: Path) -> None:
    paths, labels = labelled(drawn)
    numbers = np.unique(labels, return_inverse=True)[1]
    assert read((paths, numbers)).classes == ("0", "1", "2", "3")
    parts = ["train", "test"] * (len(paths) // 2)
    found = read(pyarrow.table({**columns(drawn), "split": parts}))
    assert len(found.part("test")) == len(paths) // 2


def test_a_hugging_face_dataset_is_read_with_its_names_and_parts(drawn: Path) -> None:
    datasets = pytest.importorskip("datasets")
    paths, labels = labelled(drawn)
    names = sorted(set(labels))
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=names)})
    rows = {"image": [str(path) for path in paths], "label": [names.index(label) for label in labels]}
    dataset = datasets.Dataset.from_dict(rows, features=features)
    assert told(read(dataset)) == told(scan(drawn))
    halves = dataset.train_test_split(test_size=0.5, seed=0)
    assert len(read(halves).part("test")) == len(paths) // 2


@pytest.mark.parametrize(
    ("data", "kind", "said"),
    [
        (5, ConfigError, "A int is no labelled data. Expected a folder of class folders, a table"),
        (None, ConfigError, "A NoneType is no labelled data"),
        (["a.png"], ConfigError, "A list is no labelled data"),
        ((["a.png"], ["a", "b"]), ConfigError, "1 pictures and 2 labels"),
        ((["a.png"], "a"), ConfigError, "The labels are a str"),
        ("https://example.org/cells", ConfigError, "Regraft fetches no data"),
        ("nowhere", DataMissing, "nowhere does not exist"),
        (pyarrow.table({"path": []}), DataError, "These data have no rows"),
    ],
)
def test_what_are_no_labelled_data_is_refused(data: object, kind: type[Exception], said: str) -> None:
    with pytest.raises(kind, match=said):
        read(data)
