"""Labelled pictures in memory become a table on the disk, and are read as that table would be."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from PIL import Image

from regraft.data import Manifest, Reading, as_source, read_digests, scan
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


def as_pandas_of(cell: Callable[[Path], object]) -> Callable[[Path], Any]:
    def made(folder: Path) -> Any:
        paths, labels = labelled(folder)
        return pytest.importorskip("pandas").DataFrame({"image": [cell(path) for path in paths], "label": labels})

    return made


def as_polars_with_images(folder: Path) -> Any:
    paths, labels = labelled(folder)
    return pytest.importorskip("polars").DataFrame({"image": [Image.open(path) for path in paths], "label": labels})


FORMS: dict[str, Callable[[Path], Any]] = {
    "str": str,
    "pandas": as_pandas,
    "polars": as_polars,
    "arrow": lambda folder: pyarrow.table(columns(folder)),
    "arrow with bytes": as_arrow_with_bytes,
    "pandas of paths": as_pandas_of(Path),
    "pandas of bytes": as_pandas_of(Path.read_bytes),
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


@pytest.mark.parametrize(
    "form", [as_pandas_of(Image.open), as_pandas_of(lambda path: np.asarray(Image.open(path))), as_polars_with_images]
)
def test_a_column_of_pictures_is_as_good_as_a_list_of_them(form: Callable[[Path], Any], drawn: Path) -> None:
    paths, labels = labelled(drawn)
    assert told(read(form(drawn))) == told(read(([Image.open(path) for path in paths], labels)))


def test_a_label_that_is_nothing_in_pandas_is_an_empty_one(drawn: Path) -> None:
    paths, labels = labelled(drawn)
    table = pytest.importorskip("pandas").DataFrame({"path": paths, "label": [float("nan"), *labels[1:]]})
    assert read(table).notices[0].startswith("Left out, since their column 'label' is empty: 1 of")


MEMORY_SAYS = {
    "no column of paths": ("x,label", Reading(), "^The table has no path column: found x, label.* path_column=NAME"),
    "one class": (
        "path,one",
        Reading(label_column="one"),
        "^The table holds one class .*another column.* label_column",
    ),
    "no groups": (
        "path,label",
        Reading(groups="^Q"),
        r"nor is it a column of the table.*Without groups=, Regraft looks",
    ),
    "a layout": ("path,label", Reading(layout="classes"), "^The table is a table; layout is for folders"),
    "two columns": ("path,label,class", Reading(), r"Name one: label_column='label'$"),
    "none there": (
        "gone,label",
        Reading(path_column="gone"),
        "Paths are relative to the current folder; images=DIR names",
    ),
}


@pytest.mark.parametrize("case", MEMORY_SAYS)
def test_errors_about_data_in_memory_speak_of_no_file_and_no_option(case: str, drawn: Path) -> None:
    names, reading, said = MEMORY_SAYS[case]
    paths, labels = labelled(drawn)
    known = {
        "path": [str(path) for path in paths],
        "label": labels,
        "x": labels,
        "one": ["a"] * len(paths),
        "class": [str(at % 2) for at in range(len(paths))],
        "gone": [f"nowhere/{at}.png" for at in range(len(paths))],
    }
    source = as_source(pyarrow.table({name: known[name] for name in names.split(",")}))
    with pytest.raises(DataError, match=said) as error:
        scan(source, reading)
    assert source.name not in str(error.value)
    assert "--" not in str(error.value)


def test_notices_about_data_in_memory_speak_of_no_file_and_no_option(drawn: Path) -> None:
    found = read(pyarrow.table({**columns(drawn), "patient": list("ab") * (len(labelled(drawn)[0]) // 2)}))
    assert found.notices == ("Grouped by the column 'patient' of the table; groups='.+' groups nothing.",)


def test_a_table_that_is_a_file_is_named(drawn: Path) -> None:
    table = drawn / "table.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"x": ["a"], "label": ["b"]}), table)
    with pytest.raises(DataError, match=r"table\.parquet has no path column.*path_column=NAME"):
        scan(table)


def test_a_picture_that_comes_twice_is_two_pictures(drawn: Path) -> None:
    paths, labels = labelled(drawn)
    content = [path.read_bytes() for path in [*paths, paths[0]]]
    assert len(read((content, [*labels, "yellow"]))) == len(paths) + 1


def test_paths_in_a_data_frame_are_meant_from_where_the_user_is(drawn: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(drawn)
    table = {name: [cell.removeprefix(f"{drawn}/") for cell in cells] for name, cells in columns(drawn).items()}
    assert told(read(pyarrow.table(table))) == told(scan(drawn))


def test_home_and_file_addresses_are_data(drawn: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(drawn.parent))
    monkeypatch.setenv("USERPROFILE", str(drawn.parent))
    assert [as_source(f"~/{drawn.name}"), as_source(drawn.as_uri())] == [drawn, drawn]


def test_numbers_are_labels_and_parts_are_kept(drawn: Path) -> None:
    paths, labels = labelled(drawn)
    numbers = np.unique(labels, return_inverse=True)[1]
    assert read((paths, numbers)).classes == ("0", "1", "2", "3")
    parts = ["train", "test"] * (len(paths) // 2)
    found = read(pyarrow.table({**columns(drawn), "split": parts}))
    assert len(found.part("test")) == len(paths) // 2


def test_groups_stand_beside_the_labels(drawn: Path) -> None:
    paths, labels = labelled(drawn)
    groups = [f"patient {at // 2}" for at in range(len(paths))]
    for pictures in (paths, [path.read_bytes() for path in paths]):
        found = read((pictures, labels, groups))
        assert sorted(found.groups or []) == sorted(groups)


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
        ((["a.png"], ["a"], ["p", "q"]), ConfigError, "1 pictures and 2 groups. Expected one group for each"),
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
