"""Networks x methods on one split: each cell is what training alone gives, and what was done is done."""

import csv
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import regraft
from regraft.comparison import Cell, Comparison, compare, listed_backbones
from regraft.errors import ConfigError, RunError, UnknownName
from regraft.progress import Progress, Tick

TINY: dict[str, Any] = {"weights": "random", "img_size": 64, "epochs": 2, "device": "cpu", "engine": "torch"}
TWO = ["squeezenet1_1", "resnet18"]


def quick(data: Path, out: Path, backbones: list[str] = TWO, **settings: Any) -> Comparison:
    return compare(data, out=out, **{"backbones": backbones, "control_epochs": 0, **TINY, **settings})


def predictions(run: Path) -> str:
    return (run / "predictions.csv").read_text()


class StopAfter(Progress):
    """Presses Ctrl-C when so many rows are there."""

    def __init__(self, rows: int) -> None:
        self.left = rows

    def note(self, text: str) -> None:
        self.left -= "accuracy" in text
        if not self.left:
            raise KeyboardInterrupt


class Rows(Progress):
    """Keeps what is said of rows."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, text: str) -> None:
        self.said += [text] * ("accuracy" in text)


class StopInTraining(Progress):
    """Presses Ctrl-C when so many trainings have begun."""

    def __init__(self, trainings: int) -> None:
        self.left = trainings

    @contextmanager
    def track(self, what: str, total: int, unit: str = "") -> Iterator[Tick]:
        self.left -= what.startswith("Training")
        if not self.left:
            raise KeyboardInterrupt
        yield lambda advance=1, text="": None


@pytest.fixture(scope="module")
def whole(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    return quick(shapes, tmp_path_factory.mktemp("comparison") / "whole")


def test_every_network_meets_every_method_on_the_same_split(whole: Comparison) -> None:
    cells = {(row.backbone, row.method, row.status) for row in whole.findings.rows}
    assert cells == {(b, m, "ok") for b in TWO for m in ("frozen", "finetuned", "features")}
    splits = {(Path(row.run) / "split.csv").read_text() for row in whole.findings.rows}
    assert splits == {(whole.folder / "split.csv").read_text()}


@pytest.mark.parametrize("method", ["frozen", "finetuned", "features"])
def test_a_cell_is_what_training_alone_gives(whole: Comparison, shapes: Path, tmp_path: Path, method: str) -> None:
    """Whatever other methods did to the same network before."""
    alone = regraft.train(shapes, backbone="resnet18", method=method, out=tmp_path / "alone", **TINY)
    assert predictions(alone.folder) == predictions(whole.folder / f"resnet18-{method}")


def test_every_cell_is_a_model_ready_to_use(whole: Comparison) -> None:
    for row in whole.findings.rows:
        assert regraft.load(Path(row.run)).backbone.name == row.backbone
        assert row.size_mb > 1
        assert row.predict_ms > 0


def test_json_holds_what_the_command_line_promises(whole: Comparison) -> None:
    shown = json.loads(json.dumps(whole.as_dict()))
    for row in shown["rows"]:
        assert {"run", "backbone", "method", "n_test", "seconds", "test", "status"} <= row.keys()
        assert len(row["test"]["accuracy_ci"]) == 2


def test_a_finished_comparison_is_left_alone(whole: Comparison, shapes: Path) -> None:
    before = (whole.folder / "leaderboard.json").read_bytes()
    again = quick(shapes, whole.folder, ["squeezenet1_1"], methods="features")
    assert again.folder.name == "whole-2"
    assert (whole.folder / "leaderboard.json").read_bytes() == before


def test_a_stopped_comparison_goes_on_to_the_same_end(whole: Comparison, shapes: Path, tmp_path: Path) -> None:
    stopped = quick(shapes, tmp_path / "halves", progress=StopAfter(2))
    assert stopped.interrupted
    assert {row.status for row in stopped.findings.rows} == {"ok"}
    assert "The comparison is incomplete, 4 of 6 rows are missing." in stopped.findings.advice()
    done = {path: path.stat().st_mtime_ns for path in stopped.folder.rglob("row.json")}
    assert len(done) == 2
    rows = Rows()
    ended = quick(shapes, tmp_path / "halves", progress=rows)
    assert [(said[:3], said.endswith(" left")) for said in rows.said] == [
        ("3/6", True),
        ("4/6", True),
        ("5/6", True),
        ("6/6", False),
    ]
    assert ended.folder == stopped.folder
    assert not ended.interrupted
    assert "incomplete" not in ended.findings.advice()
    assert all(path.stat().st_mtime_ns == time for path, time in done.items())
    found = {(row.backbone, row.method): row.test for row in ended.findings.rows}
    assert found == {(row.backbone, row.method): row.test for row in whole.findings.rows}


def test_one_cell_that_fails_does_not_end_the_others(shapes: Path, tmp_path: Path) -> None:
    found = quick(shapes, tmp_path / "c", methods="finetuned", unfreeze="layer4")
    assert [(row.backbone, row.status) for row in found.findings.rows] == [
        ("resnet18", "ok"),
        ("squeezenet1_1", "failed"),
    ]
    assert "layer4" in found.findings.rows[1].reason


def test_when_all_fail_that_is_an_error(shapes: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"Nothing could be trained of what was asked for; squeezenet1_1: .*layer4"):
        quick(shapes, tmp_path / "c", ["squeezenet1_1"], methods="finetuned", unfreeze="layer4")


def test_with_folds_every_picture_is_tested_once(shapes: Path, tmp_path: Path) -> None:
    found = quick(shapes, tmp_path / "c", ["squeezenet1_1"], methods="frozen,features", folds=4)
    assert [row.n_test for row in found.findings.rows] == [80, 80]
    tested = [
        line.split(",")[0]
        for path in found.folder.glob("*-features/fold-*")
        for line in predictions(path).splitlines()[1:]
    ]
    assert len(tested) == len(set(tested)) == 80


def test_a_comparison_stopped_between_folds_keeps_those_that_are_done(shapes: Path, tmp_path: Path) -> None:
    asked: dict[str, Any] = {"backbones": ["squeezenet1_1"], "methods": "frozen", "folds": 3}
    expected = quick(shapes, tmp_path / "whole", **asked)
    with pytest.raises(KeyboardInterrupt):
        quick(shapes, tmp_path / "halves", **asked, progress=StopInTraining(3))
    done = {path: path.stat().st_mtime_ns for path in (tmp_path / "halves").rglob("model/*")}
    assert len(done) == 2 * 2  # two folds
    ended = quick(shapes, tmp_path / "halves", **asked)
    assert {path: path.stat().st_mtime_ns for path in done} == done
    assert [row.test for row in ended.findings.rows] == [row.test for row in expected.findings.rows]
    assert not list(ended.folder.rglob("checkpoints"))


def test_the_control_shows_what_transfer_gains(shapes: Path, tmp_path: Path) -> None:
    found = compare(shapes, backbones="squeezenet1_1", methods="frozen", control_epochs=2, out=tmp_path / "c", **TINY)
    control = found.findings.control
    assert control is not None
    assert (len(control.pretrained), len(control.scratch)) == (2, 2)
    assert (found.folder / "squeezenet1_1-scratch" / "model").is_dir()
    assert control.sentence() in (found.folder / "comparison.html").read_text()


def test_a_budget_drops_what_does_worst_and_says_so(shapes: Path, tmp_path: Path) -> None:
    found = quick(shapes, tmp_path / "c", methods="frozen,features", budget_s=0.01)
    statuses = [row.status for row in found.findings.rows]
    assert statuses == ["ok", "dropped", "dropped", "dropped"]
    assert all("on validation pictures after learning from" in row.reason for row in found.findings.rows[1:])


def test_a_budget_that_suffices_drops_nothing(shapes: Path, tmp_path: Path) -> None:
    found = quick(shapes, tmp_path / "c", ["squeezenet1_1"], methods="frozen,features", budget_s=3600)
    assert [row.status for row in found.findings.rows] == ["ok", "ok"]


def test_a_budget_never_looks_at_test_pictures_to_choose(shapes: Path, tmp_path: Path) -> None:
    found = quick(shapes, tmp_path / "c", ["squeezenet1_1"], methods="frozen,features", budget_s=0.01)
    with (found.folder / "split.csv").open(newline="") as file:
        tested = {row["filename"] for row in csv.DictReader(file) if row["split"] == "test"}
    assert tested == {line.split(",")[0] for line in predictions(Path(found.findings.best.run)).splitlines()[1:]}


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"backbones": "resnet19"}, UnknownName),
        ({"backbones": "resnet18", "methods": "frosen"}, UnknownName),
        ({"backbones": "resnet18", "folds": 3, "budget_s": 60}, ConfigError),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_written(
    shapes: Path, tmp_path: Path, settings: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        compare(shapes, out=tmp_path / "c", **settings)
    assert not (tmp_path / "c").exists()


def test_aliases_and_repeats_are_one_network() -> None:
    assert listed_backbones("xception, legacy_xception,resnet18") == ["legacy_xception", "resnet18"]
    assert Cell("resnet18", "frozen").name == "resnet18-frozen"
    assert len(set(listed_backbones("families"))) == len(listed_backbones("families")) > 5
