"""`regraft explain`: a picture beside its heat map for each picture, and a table that says what it shows."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import regraft as package
from regraft.data import decode
from regraft.errors import DataError, NoImages, UnknownName
from regraft.inference import bundle, predict
from regraft.inference.heatmaps import heat_maps, overlay
from regraft.utils.files import read_csv
from regraft.utils.progress import Progress, Tick


def test_each_picture_lies_beside_its_heat_map(small_run: Path, drawn: Path, tmp_path: Path) -> None:
    rows = package.explain(small_run, [drawn / "red", drawn / "blue"], out=tmp_path / "heat", device="cpu")
    answers = predict.predict(small_run, [drawn / "red", drawn / "blue"])
    assert [row["filename"] for row in rows] == [row["filename"] for row in answers]
    assert [row["label"] for row in rows] == [row["label"] for row in answers]
    np.testing.assert_allclose([row["prob"] for row in rows], [row["prob"] for row in answers], atol=1e-5)
    model = bundle.load(small_run)
    drawn_rows = [row for row in rows if row["heatmap"]]
    assert drawn_rows
    for row in drawn_rows:
        pixels = decode(Path(row["filename"]).read_bytes(), model.backbone.preprocessing)
        (heat,) = heat_maps(model, pixels[None], np.array([model.classes.index(row["label"])]), device="cpu")
        shown = np.asarray(Image.open(row["heatmap"]))
        assert np.array_equal(shown[:, :64], pixels)
        np.testing.assert_allclose(shown[:, 64:].astype(int), np.asarray(overlay(pixels, heat)).astype(int), atol=2)


def test_the_table_and_the_files_say_the_same(regraft: Callable[..., Any], small_run: Path, drawn: Path) -> None:
    out = drawn.parent / "heat"
    (drawn / "red" / "red0.png").write_bytes(b"")
    rows = json.loads(regraft("explain", small_run, drawn / "red", "-o", out, "--json").out)["rows"]
    with (out / "heatmaps.csv").open(newline="", encoding="utf-8") as file:
        kept = list(csv.DictReader(file))
    assert [{name: str(value or "") for name, value in row.items()} for row in rows] == kept
    assert {path.name for path in out.iterdir()} == {
        "heatmaps.csv",
        *(Path(row["heatmap"]).name for row in rows if row["heatmap"]),
    }
    (bad,) = (row for row in rows if row["error"])
    assert (Path(bad["filename"]).name, bad["label"], bad["heatmap"]) == ("red0.png", None, None)
    lines = regraft("explain", small_run, drawn / "red", "-o", out).out.splitlines()
    assert len([line for line in lines if ".png" in line]) == len(rows)
    assert lines[-1] == f"The table: {out}-2/heatmaps.csv"
    assert f"{bad['filename']}: cannot be read: {bad['error']}" in lines
    assert all(f"{out}-2" in line for line in lines if " -> " in line)  # nothing is overwritten
    assert (drawn.parent / "heat-2" / "heatmaps.csv").exists()


class Meanwhile(Progress):
    """Lets another process take a folder's name while pictures are drawn."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @contextmanager
    def track(self, what: str, total: int, unit: str = "") -> Iterator[Tick]:
        self.folder.mkdir()
        (self.folder / "theirs").write_text("")
        yield lambda advance=1, text="": None


def test_whoever_takes_the_name_meanwhile_keeps_it_and_the_heat_maps_get_the_next(
    small_run: Path, drawn: Path, tmp_path: Path
) -> None:
    out = tmp_path / "heat"
    rows = package.explain(small_run, [drawn / "red"], out=out, progress=Meanwhile(out))
    assert [path.name for path in out.iterdir()] == ["theirs"]
    drawn_maps = [row["heatmap"] for row in rows if row["heatmap"]]
    assert drawn_maps
    assert all(Path(path).parent == tmp_path / "heat-2" and Path(path).is_file() for path in drawn_maps)
    assert [row["heatmap"] for row in read_csv(tmp_path / "heat-2" / "heatmaps.csv") if row["heatmap"]] == drawn_maps
    assert sorted(path.name for path in tmp_path.iterdir()) == ["drawn", "heat", "heat-2"]


def test_where_no_picture_can_be_read_no_folder_is_left(small_run: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.png").write_text("no picture")
    with pytest.raises(NoImages, match="None of the 1 pictures can be read"):
        package.explain(small_run, [tmp_path / "notes.png"], out=tmp_path / "heat")
    assert [path.name for path in tmp_path.iterdir()] == ["notes.png"]


def test_another_class_and_an_earlier_stage_can_be_explained(small_run: Path, drawn: Path, tmp_path: Path) -> None:
    model = bundle.load(small_run)
    stage = model.backbone.stages[-3].name
    rows = package.explain(model, [drawn / "red"], out=tmp_path / "heat", label="blue", layer=stage)
    assert {row["label"] for row in rows} == {"blue"}
    sureness = {
        row["filename"]: row["prob"]
        for row in predict.predict(small_run, [drawn / "red"], top=4)
        if row["label"] == "blue"
    }
    np.testing.assert_allclose([row["prob"] for row in rows], list(sureness.values()), atol=1e-5)


@pytest.mark.parametrize(
    ("wrong", "error", "said"),
    [
        ({"label": "blu"}, UnknownName, "blue"),
        ({"layer": "nowhere"}, UnknownName, "nowhere"),
        ({"paths": ["missing.png"]}, DataError, "missing.png does not exist"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_a_folder_is_made(
    small_run: Path, drawn: Path, tmp_path: Path, wrong: dict[str, Any], error: type[Exception], said: str
) -> None:
    given = {"paths": [drawn / "red"], "out": tmp_path / "heat", **wrong}
    with pytest.raises(error, match=said):
        package.explain(small_run, given.pop("paths"), **given)
    assert not (tmp_path / "heat").exists()
