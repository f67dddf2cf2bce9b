"""Any number of pictures become a file: the same after a stop as without one, and in constant memory."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet

import regraft as package
from regraft.errors import ConfigError, DataError, NoImages, RegraftWarning, RunError
from regraft.inference import bulk
from regraft.inference.exported import Exported
from regraft.utils.progress import Progress

STOPPED = """
import os, sys
from regraft.cli.commands import main
from regraft.inference import bulk
from regraft.inference.results import Asked

bulk.PIECE, rows, seen = 32, Asked.rows, []

def stopped(*given):
    seen.append(given)
    if len(seen) == 70:
        os.kill(os.getpid(), int(sys.argv[1]))
    return rows(*given)

Asked.rows = stopped
main(sys.argv[2:])
"""
"""The command, which a signal meets in the middle of its third piece."""


@pytest.fixture(scope="module")
def model(small_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    file = package.export(small_run, out=tmp_path_factory.mktemp("export") / "shapes.onnx", input="square").file
    found = package.load(file)
    assert isinstance(found, Exported)
    return found


@pytest.fixture
def many(shapes: Path, tmp_path: Path) -> Path:
    """A list of 100 pictures, of which two cannot be read."""
    paths = [*map(str, sorted(shapes.rglob("*.png"))), str(shapes), str(shapes / "none.png")]
    file = tmp_path / "many.txt"
    file.write_text("\n".join([*paths, *paths[:18]]) + "\n")
    return file


def rows_of(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


class Heard(Progress):
    """Remembers what is said."""

    def __init__(self) -> None:
        self.said = ""

    def note(self, text: str) -> None:
        self.said += text

    warn = note


@pytest.mark.parametrize(
    ("number", "status", "says"),
    [
        (signal.SIGKILL, -signal.SIGKILL, ""),
        (signal.SIGINT, 130, "Stopped. 64 of 100 pictures are predicted and kept in"),
        (signal.SIGTERM, 143, "the same command goes on from there."),
    ],
)
def test_a_process_that_is_stopped_in_the_middle_goes_on_to_the_same_file(
    number: int, status: int, says: str, small_run: Path, many: Path, tmp_path: Path
) -> None:
    whole = package.predict(small_run, many, out=tmp_path / "whole.csv", probabilities=True)
    words = ["predict", str(small_run), str(many), "-o", str(tmp_path / "out.csv"), "--probabilities"]
    done = subprocess.run([sys.executable, "-c", STOPPED, str(number), *words], capture_output=True, text=True)
    assert done.returncode == status, done.stderr
    assert says in done.stderr
    assert not (tmp_path / "out.csv").exists()
    heard = Heard()
    found = package.predict(small_run, many, out=tmp_path / "out.csv", probabilities=True, progress=heard)
    assert "64 of 100 pictures are predicted already" in heard.said
    assert (tmp_path / "out.csv").read_bytes() == whole.file.read_bytes()
    assert [found.pictures, found.unreadable, found.unsure] == [100, 2, 0]
    assert {path.name for path in tmp_path.iterdir()} == {"many.txt", "whole.csv", "out.csv"}


def test_what_was_done_for_another_question_is_not_gone_on_with(
    model: Exported, many: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop(model, many, tmp_path, monkeypatch)
    heard = Heard()
    package.predict(model, many, out=tmp_path / "out.jsonl", top=2, progress=heard)
    assert "predicted already" not in heard.said
    assert len(rows_of(tmp_path / "out.jsonl")) == 2 * 98 + 2
    assert list(tmp_path.glob("out.jsonl.*.part"))  # it may be hours of work


def stop(model: Exported, pictures: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Break a prediction off between its second piece and its third."""
    with monkeypatch.context() as patch:
        write, pieces = bulk._write_piece, []

        def piece(*given: Any) -> int:
            pieces.append(given)
            if len(pieces) == 3:
                raise KeyboardInterrupt
            return write(*given)

        patch.setattr(bulk, "PIECE", 32)
        patch.setattr(bulk, "_write_piece", piece)
        with pytest.raises(KeyboardInterrupt):
            package.predict(model, pictures, out=folder / "out.jsonl")


def test_pictures_that_come_later_are_not_in_what_goes_on(
    model: Exported, drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that were listed are those that were asked for: else rows would be missing, or there twice."""
    for number in range(50):
        (drawn / f"m{number}.png").write_bytes((drawn / "red" / "red0.png").read_bytes())
    stop(model, drawn, tmp_path, monkeypatch)
    (drawn / "a.png").write_bytes((drawn / "red" / "red0.png").read_bytes())
    found = package.predict(model, drawn, out=tmp_path / "out.jsonl")
    assert found.pictures == 82
    assert "a.png" not in {Path(row["filename"]).name for row in rows_of(found.file)}


def test_what_is_kept_and_was_changed_is_told(
    model: Exported, many: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop(model, many, tmp_path, monkeypatch)
    (part,) = tmp_path.glob("*.part")
    (part / bulk.PIECES / f"{0:012}").write_text("half a li\n" * 32)
    with pytest.raises(RunError, match=r"000000 is damaged .*Remove .*part, and give the command again"):
        package.predict(model, many, out=tmp_path / "out.jsonl")
    assert not (tmp_path / "out.jsonl").exists()


def test_an_earlier_file_is_replaced_when_the_new_one_is_whole_and_that_is_said(
    model: Exported, many: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "out.jsonl").write_text("earlier")
    with pytest.warns(RegraftWarning, match=r"out.jsonl is there already: it is replaced when the new one is whole"):
        stop(model, many, tmp_path, monkeypatch)
    assert (tmp_path / "out.jsonl").read_text() == "earlier"
    package.predict(model, many, out=tmp_path / "out.jsonl", progress=False)
    assert len(rows_of(tmp_path / "out.jsonl")) == 100


@pytest.mark.parametrize("form", ["csv", "json", "jsonl", "parquet"])
def test_every_format_has_the_rows_of_what_is_predicted_in_memory(
    form: str, model: Exported, many: Path, tmp_path: Path
) -> None:
    expected = package.predict(model, many, top=2, probabilities=True).rows
    file = package.predict(model, many, top=2, probabilities=True, out=tmp_path / f"rows.{form}").file
    assert list(expected[0])[6:] == ["prob_blue", "prob_green", "prob_red", "prob_yellow"]
    read = {"json": lambda: json.loads(file.read_text())["rows"], "jsonl": lambda: rows_of(file)}
    read["parquet"] = lambda: parquet.read_table(file).to_pylist()
    read["csv"] = lambda: [
        {name: type(expected[0][name])(cell) if cell else None if name != "error" else "" for name, cell in row.items()}  # type: ignore[literal-required]
        for row in csv.DictReader(file.open())
    ]
    assert read[form]() == list(expected)


def test_thousands_of_pictures_take_no_more_memory_than_hundreds(model: Exported, shapes: Path, tmp_path: Path) -> None:
    picture, peaks = next(shapes.rglob("*.png")), list[int]()
    for count in (300, 3000):
        (tmp_path / "list.csv").write_text("id,path\n" + "".join(f"{at},{picture}\n" for at in range(count)))
        tracemalloc.start()
        found = package.predict(model, tmp_path / "list.csv", out=tmp_path / f"{count}.parquet", probabilities=True)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert (found.pictures, found.unreadable) == (count, 0)
    assert peaks[1] < peaks[0] + 1e7  # the rows of a piece; the pictures alone would be 46 MB


def test_where_nothing_can_be_done_nothing_is_left(model: Exported, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(NoImages, match=r"No pictures in .*empty"):
        package.predict(model, tmp_path / "empty", out=tmp_path / "out.csv")
    with pytest.raises(ConfigError, match="A picture in memory is gone when this is stopped"):
        package.predict(model, b"bytes", out=tmp_path / "out.csv")
    (tmp_path / "list.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match=r"list.csv has no path column: found a, b"):
        package.predict(model, tmp_path / "list.csv", out=tmp_path / "out.csv")
    assert {path.name for path in tmp_path.iterdir()} == {"empty", "list.csv"}


def test_two_processes_do_not_write_one_file(model: Exported, many: Path, tmp_path: Path) -> None:
    heard = list[str]()

    class Second(Progress):
        """Asks for the same while it is made."""

        def note(self, text: str) -> None:
            if text == "Listing the pictures.":
                with pytest.raises(ConfigError, match="Another process is writing"):
                    package.predict(model, many, out=tmp_path / "out.csv")
                heard.append(text)

    assert package.predict(model, many, out=tmp_path / "out.csv", progress=Second()).pictures == 100
    assert heard
