"""Networks x methods on one split: each cell is what training alone gives, and what was done is done."""

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import regraft
from regraft.data import draw_cells, scan, split
from regraft.errors import ConfigError, RunError, SplitError, UnknownName
from regraft.experiments.api import compare
from regraft.experiments.comparison import listed_backbones
from regraft.experiments.comparison_runner import Candidate, Comparison
from regraft.experiments.halving import TRIED
from regraft.inference.predict import predict
from regraft.metrics.predictions import Predicted
from regraft.training.learner import LEAST_STEPS
from regraft.utils.files import read_csv
from regraft.utils.progress import Progress, Tick

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


def test_a_comparison_is_a_table_and_its_best_row_stands_for_a_model(whole: Comparison, shapes: Path) -> None:
    pytest.importorskip("pandas")
    table = whole.to_pandas()
    assert list(table["accuracy"]) == [row.accuracy for row in whole.findings.rows]
    assert whole.best is whole.findings.rows[0]
    assert whole.best.folder == Path(whole.best.run)
    assert whole.to_arrow().column("backbone").to_pylist() == list(table["backbone"])
    picture = shapes / "red" / "red0.png"
    assert predict(whole.best, picture) == predict(whole.best.run, picture)
    assert f"<td>{whole.best.backbone}</td>" in whole._repr_html_()
    assert repr(whole) == f"<Comparison: 6 rows, in {whole.folder}>"


@pytest.mark.parametrize("method", ["frozen", "finetuned", "features"])
def test_a_cell_is_what_training_alone_gives(whole: Comparison, shapes: Path, tmp_path: Path, method: str) -> None:
    """Whatever other methods did to the same network before."""
    alone = regraft.train(shapes, backbone="resnet18", method=method, out=tmp_path / "alone", **TINY)
    assert predictions(alone.folder) == predictions(whole.folder / f"resnet18-{method}")


def test_a_comparison_is_gone_through_by_its_rows(whole: Comparison) -> None:
    assert list(whole) == list(whole.findings.rows)
    assert len(whole) == len(whole.to_pandas())


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


def test_json_proposes_the_groups_that_were_not_given_as_check_does(whole: Comparison, tmp_path: Path) -> None:
    """Six patients, whose stains differ: the pictures come in groups, and nobody has said so."""
    assert whole.as_dict()["groups"] is None
    cells = draw_cells(tmp_path / "cells", per_class=60, patients=6, size=64)
    for picture in cells.glob("*/*.png"):
        picture.rename(picture.with_name(picture.name.replace(f"{picture.parent.name}_", "")))
    found = quick(cells, tmp_path / "out", ["squeezenet1_1"], methods=["features"])
    shown = json.loads(json.dumps(found.as_dict()))["groups"]
    assert (shown["pattern"], shown["groups"]) == (r"^P\d+", 6)
    asked = {name: TINY[name] for name in ("weights", "img_size", "device", "engine")}
    checked = regraft.check(cells, out=tmp_path / "check", backbone="squeezenet1_1", **asked)
    assert checked.as_dict()["groups"].keys() == shown.keys()


def test_a_finished_comparison_is_left_alone(whole: Comparison, shapes: Path) -> None:
    before = (whole.folder / "leaderboard.json").read_bytes()
    again = quick(shapes, whole.folder, ["squeezenet1_1"], methods="features")
    assert again.folder.name == "whole-2"
    assert (whole.folder / "leaderboard.json").read_bytes() == before


def test_a_stopped_comparison_of_version_0_1_0_goes_on(shapes: Path, tmp_path: Path) -> None:
    """Its files called two things otherwise."""
    asked: dict[str, Any] = {"backbones": ["squeezenet1_1"], "methods": "features,frozen"}
    stopped = quick(shapes, tmp_path / "early", **asked, progress=StopAfter(1))
    for path in (stopped.folder / "comparison.json", *stopped.folder.rglob("row.json")):
        said = path.read_text().replace('"requested"', '"wish"').replace('"feature_extraction_s"', '"pass_s"')
        path.write_text(said)
    ended = quick(shapes, tmp_path / "early", **asked)
    assert ended.folder == stopped.folder
    assert len(ended.findings.rows) == 2
    (first,) = stopped.findings.rows
    kept = next(row for row in ended.findings.rows if row.method == first.method)
    assert (kept.feature_extraction_s, kept.fit_s) == (first.feature_extraction_s, first.fit_s)
    assert kept.feature_extraction_s > 0


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


def test_a_stopped_comparison_that_was_moved_goes_on_where_it_lies(shapes: Path, tmp_path: Path) -> None:
    asked: dict[str, Any] = {"backbones": ["squeezenet1_1"], "methods": "frozen,features", "control_epochs": 1}
    quick(shapes, tmp_path / "halves", **asked, progress=StopAfter(1))
    (tmp_path / "halves").rename(tmp_path / "moved")
    ended = quick(shapes, tmp_path / "moved", **asked)
    assert {Path(row.run).parent for row in ended.findings.rows} == {ended.folder} == {tmp_path / "moved"}
    assert ended.findings.control is not None


@pytest.mark.parametrize("folds", [None, 3])
def test_a_comparison_does_not_go_on_with_other_pictures_than_it_began_with(
    drawn: Path, tmp_path: Path, folds: int | None
) -> None:
    asked: dict[str, Any] = {"backbones": ["squeezenet1_1"], "methods": "frozen,features", "folds": folds}
    stopped = quick(drawn, tmp_path / "c", **asked, progress=StopAfter(1))
    (drawn / "red" / "red0.png").unlink()
    other = quick(drawn, tmp_path / "c", **asked)
    assert (stopped.folder.name, other.folder.name) == ("c", "c-2")
    assert len({row.n_test for row in other.findings.done}) == 1


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
    assert not list(tmp_path.iterdir())


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
    page = (found.folder / "comparison.html").read_text()
    assert control.sentence() in page
    assert f"regraft compare {shapes} --backbones squeezenet1_1 --methods frozen --control-epochs 2 " in page


def test_the_control_is_set_against_a_method_with_a_learning_curve_where_that_is_as_good(
    shapes: Path, tmp_path: Path
) -> None:
    found = quick(shapes, tmp_path / "c", ["squeezenet1_1"], methods="features,frozen", control_epochs=1)
    control = found.findings.control
    assert control is not None
    assert len(found.findings.ties) == 2
    assert (control.method, bool(control.pretrained)) == ("frozen", True)
    alone = quick(shapes, tmp_path / "d", ["squeezenet1_1"], methods="features", control_epochs=2)
    assert alone.findings.control is not None
    assert "features has no epochs" in (alone.folder / "comparison.html").read_text()


def test_the_control_of_a_cross_validation_is_measured_against_the_same_fold(shapes: Path, tmp_path: Path) -> None:
    found = quick(shapes, tmp_path / "c", ["squeezenet1_1"], methods="features", folds=3, control_epochs=1)
    control, best = found.findings.control, Path(found.findings.best.run)
    assert control is not None
    first, other = (Predicted.load(run) for run in (best / "fold-1", found.folder / "squeezenet1_1-scratch"))
    assert (control.accuracy, control.scratch_accuracy) == (first.correct.mean(), other.correct.mean())
    np.testing.assert_array_equal(first.labels, other.labels)
    assert "both in fold 1" in control.sentence()


def test_the_control_takes_as_many_steps_as_the_others_where_pictures_are_few(drawn: Path, tmp_path: Path) -> None:
    """Some 22 training pictures are one step an epoch."""
    settings = {**TINY, "epochs": None, "img_size": 32}
    found = compare(drawn, backbones="squeezenet1_1", methods="features", out=tmp_path / "c", **settings)
    assert found.findings.control is not None
    assert found.findings.control.epochs == len(found.findings.control.scratch) == LEAST_STEPS


def test_a_comparison_does_not_go_on_with_a_picture_that_has_changed(drawn: Path, tmp_path: Path) -> None:
    asked: dict[str, Any] = {"backbones": ["squeezenet1_1"], "methods": "features,frozen"}
    changed, other = drawn / "red" / "red0.png", (drawn / "blue" / "blue0.png").read_bytes()
    size = max(changed.stat().st_size, len(other))
    kept = changed.read_bytes().ljust(size, b"\0")  # of one size, and readers stop at the end of the picture
    changed.write_bytes(kept)
    begun = quick(drawn, tmp_path / "d", **asked, progress=StopAfter(1))
    changed.write_bytes(other.ljust(size, b"\0"))
    assert quick(drawn, tmp_path / "d", **asked).folder == tmp_path / "d-2"
    changed.write_bytes(kept)
    assert quick(drawn, tmp_path / "d", **asked).folder == begun.folder


def test_a_comparison_stopped_in_its_control_goes_on_with_it(shapes: Path, tmp_path: Path) -> None:
    asked: dict[str, Any] = {"backbones": ["squeezenet1_1"], "methods": "frozen", "control_epochs": None}
    stopped = quick(shapes, tmp_path / "c", **asked, progress=StopInTraining(2))
    assert stopped.interrupted
    assert stopped.findings.control is None
    ended = quick(shapes, tmp_path / "c", **asked)
    assert ended.folder == stopped.folder
    assert ended.findings.control is not None


def test_settings_of_pretrained_networks_do_not_reach_the_control(shapes: Path, tmp_path: Path) -> None:
    asked = {"methods": "finetuned", "unfreeze": "1", "control_epochs": 1}
    found = quick(shapes, tmp_path / "c", ["squeezenet1_1"], **asked)
    assert found.findings.control is not None
    assert [row.status for row in found.findings.rows] == ["ok"]


def test_a_control_that_fails_is_told_and_is_no_row(shapes: Path, tmp_path: Path) -> None:
    warned: list[str] = []

    class Hears(Progress):
        def note(self, text: str) -> None:
            if text.startswith("The control:"):
                (tmp_path / "c" / "squeezenet1_1-scratch").write_text("a file in the way")

        def warn(self, text: str) -> None:
            warned.append(text)

    found = quick(shapes, tmp_path / "c", ["squeezenet1_1"], methods="features", control_epochs=1, progress=Hears())
    assert found.findings.control is None
    assert (len(found.findings.rows), found.findings.missing) == (1, 0)
    assert any("squeezenet1_1, scratch: " in said for said in warned)


def test_a_stopped_comparison_with_a_budget_goes_on_with_what_it_had_not_dropped(shapes: Path, tmp_path: Path) -> None:
    asked: dict[str, Any] = {"methods": "frozen,features", "budget_s": 0.01}

    class StopAtTheEnd(Progress):
        def note(self, text: str) -> None:
            if "accuracy" in text and "dropped" not in text:
                raise KeyboardInterrupt

    with contextlib.suppress(KeyboardInterrupt):
        quick(shapes, tmp_path / "halves", **asked, progress=StopAtTheEnd())
    tried = {path: path.stat().st_mtime_ns for path in (tmp_path / "halves" / "rounds").rglob(TRIED)}
    assert tried
    ended = quick(shapes, tmp_path / "halves", **asked)
    found = {path.parent.name: json.loads(path.read_text()) for path in tried}
    best = min(found, key=lambda cell: (-found[cell]["accuracy"], found[cell]["seconds"]))  # no time is left: one stays
    assert [f"{row.backbone}-{row.method}" for row in ended.findings.done] == [best]
    assert [row.status for row in ended.findings.rows].count("dropped") == len(found) - 1 == 3
    assert {path: path.stat().st_mtime_ns for path in tried} == tried


def test_a_cell_that_fails_in_a_round_does_not_end_the_others(shapes: Path, tmp_path: Path) -> None:
    rounds = tmp_path / "c" / "rounds"

    class InTheWay(Progress):
        def detail(self, text: str) -> None:
            for share in ("0.125", "0.25", "0.5"):
                (rounds / share).mkdir(parents=True, exist_ok=True)
                (rounds / share / "squeezenet1_1-features").touch()

    asked: dict[str, Any] = {"methods": "frozen,features", "budget_s": 3600, "progress": InTheWay()}
    found = quick(shapes, tmp_path / "c", ["squeezenet1_1"], **asked)
    assert [(row.method, row.status) for row in found.findings.rows] == [("frozen", "ok"), ("features", "failed")]


def test_an_unreadable_file_moves_no_picture_from_the_rounds_of_a_budget_into_the_test_part(
    drawn: Path, tmp_path: Path
) -> None:
    (drawn / "red" / "0a.png").write_bytes(b"no picture")
    found = quick(drawn, tmp_path / "c", ["squeezenet1_1"], methods="frozen,features", budget_s=0.01, allow_bad=True)
    whole = split(scan(drawn), val=0.15, test=0.15, seed=0)
    learned = {item.name for item in whole.items if item.part != "test"}
    kept = read_csv(found.folder / "split.csv")
    assert not learned & {row["filename"] for row in kept if row["split"] == "test"}
    assert len(kept) == len(whole) - 1


def test_a_control_that_was_stopped_is_trained_though_a_picture_cannot_be_decoded(drawn: Path, tmp_path: Path) -> None:
    (drawn / "red" / "0a.png").write_bytes(b"no picture")

    class Stops(Progress):
        def note(self, text: str) -> None:
            if text.startswith("The control"):
                raise KeyboardInterrupt

    asked: dict[str, Any] = {"methods": "features", "allow_bad": True, "control_epochs": 1}
    stopped = quick(drawn, tmp_path / "c", ["squeezenet1_1"], progress=Stops(), **asked)
    assert stopped.interrupted
    found = quick(drawn, tmp_path / "c", ["squeezenet1_1"], **asked)
    assert found.folder == stopped.folder
    assert found.findings.control is not None


def test_every_cell_names_the_pictures_that_cannot_be_read(drawn: Path, tmp_path: Path) -> None:
    (drawn / "red" / "0a.png").write_bytes(b"no picture")
    found = quick(drawn, tmp_path / "c", methods="features", allow_bad=True)
    assert len(found.findings.done) == 2
    for folder in (found.folder, *(Path(row.run) for row in found.findings.done)):
        assert [row["filename"] for row in read_csv(folder / "skipped.csv")] == ["red/0a.png"]


def test_a_budget_drops_what_does_worst_and_says_so(shapes: Path, tmp_path: Path) -> None:
    told: list[str] = []

    class Hears(Progress):
        def warn(self, text: str) -> None:
            told.append(text)

    asked: dict[str, Any] = {"budget_s": 0.01, "control_epochs": None, "progress": Hears()}
    found = quick(shapes, tmp_path / "c", methods="frozen,features", **asked)
    statuses = [row.status for row in found.findings.rows]
    assert statuses == ["ok", "dropped", "dropped", "dropped"]
    assert found.findings.control is None
    assert [text for text in told if "the budget was 0 s" in text or "no control" in text] == told[-2:]
    assert all("on validation pictures after learning from" in row.reason for row in found.findings.rows[1:])


def test_files_are_read_once_for_all_rounds_of_a_budget(shapes: Path, tmp_path: Path) -> None:
    steps: list[str] = []

    class Hears(Progress):
        @contextmanager
        def track(self, what: str, total: int, unit: str = "") -> Iterator[Tick]:
            steps.append(what)
            yield lambda advance=1, text="": None

    quick(shapes, tmp_path / "c", methods="frozen,features", budget_s=0.01, progress=Hears())
    assert steps.count("Reading") == 1


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_stopped_comparison_goes_on_without_a_file_that_could_never_be_read(drawn: Path, tmp_path: Path) -> None:
    os.mkfifo(drawn / "red" / "0a.png")
    stopped = quick(drawn, tmp_path / "c", methods="features", progress=StopAfter(1), allow_bad=True)
    assert stopped.interrupted
    ended = quick(drawn, tmp_path / "c", methods="features", allow_bad=True)
    assert ended.folder == stopped.folder
    assert [row.status for row in ended.findings.rows] == ["ok", "ok"]


def test_a_budget_that_suffices_drops_nothing(shapes: Path, tmp_path: Path) -> None:
    found = quick(shapes, tmp_path / "c", ["squeezenet1_1"], methods="frozen,features", budget_s=3600)
    assert [row.status for row in found.findings.rows] == ["ok", "ok"]


def test_a_budget_tries_the_networks_on_some_pictures_of_every_group_where_groups_are_few(
    shapes: Path, tmp_path: Path
) -> None:
    for number, path in enumerate(sorted(shapes.rglob("*.png"))):
        (tmp_path / "data" / path.parent.name).mkdir(parents=True, exist_ok=True)
        shutil.copy(path, tmp_path / "data" / path.parent.name / f"g{number % 6}_{path.name}")
    asked: dict[str, Any] = {"groups": r"g\d", "budget_s": 0.01}
    found = quick(tmp_path / "data", tmp_path / "c", ["squeezenet1_1"], methods="frozen,features", **asked)
    assert [row.status for row in found.findings.rows] == ["ok", "dropped"]


def test_a_budget_that_can_drop_nothing_says_so(drawn: Path, tmp_path: Path) -> None:
    told: list[str] = []

    class Hears(Progress):
        def warn(self, text: str) -> None:
            told.append(text)

    for path in drawn.rglob("*[2-7].png"):
        path.unlink()
    asked: dict[str, Any] = {"methods": "frozen,features", "budget_s": 0.01, "val": 0.25, "test": 0.25}
    for number in (2, 3):  # four of each class: two to learn from, one to validate on
        for path in list(drawn.rglob("*[01].png")):
            shutil.copy(path, path.with_stem(f"{path.stem}{number}"))
    found = quick(drawn, tmp_path / "c", ["squeezenet1_1"], progress=Hears(), **asked)
    assert [row.status for row in found.findings.rows] == ["ok", "ok"]
    assert any(text.startswith("The budget drops nothing: there are too few pictures") for text in told)


def test_a_budget_never_looks_at_test_pictures_to_choose(drawn: Path, tmp_path: Path) -> None:
    """Whatever they show, each network is found as accurate as before."""

    def tried(name: str) -> dict[Path, float]:
        rounds = quick(drawn, tmp_path / name, methods="frozen,features", budget_s=0.01).folder / "rounds"
        return {path.relative_to(rounds): json.loads(path.read_text())["accuracy"] for path in rounds.rglob(TRIED)}

    before = tried("before")
    parted = split(scan(drawn), val=0.15, test=0.15, seed=0)
    tested = [parted.items[index].path for index in parted.part("test")]
    contents = [path.read_bytes() for path in tested]
    for path, content in zip(tested, [*contents[1:], contents[0]], strict=True):
        path.write_bytes(content)
    assert tried("after") == before


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"backbones": "resnet19"}, UnknownName),
        ({"backbones": "resnet18", "methods": "frosen"}, UnknownName),
        ({"backbones": "resnet18", "folds": 3, "budget_s": 60}, ConfigError),
        ({"backbones": ""}, ConfigError),
        ({"backbones": "resnet18", "methods": " , "}, ConfigError),
        ({"backbones": "resnet18", "val": 0.5, "test": 0.5}, ConfigError),
        ({"backbones": "resnet18", "folds": 41}, SplitError),
        ({"backbone": "resnet18"}, ConfigError),
        ({"backbones": "resnet18", "method": "full"}, ConfigError),
        ({"backbones": "resnet18", "from_run": "runs/a"}, ConfigError),
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
    assert Candidate("resnet18", "frozen").name == "resnet18-frozen"
    assert len(set(listed_backbones("families"))) == len(listed_backbones("families")) > 5


def test_a_comparison_of_a_version_with_fewer_settings_goes_on(shapes: Path, tmp_path: Path) -> None:
    stopped = quick(shapes, tmp_path / "found", ["squeezenet1_1"], progress=StopAfter(1))
    about = json.loads((stopped.folder / "comparison.json").read_bytes())
    for name in ("tta", "preset"):
        del about["requested"]["settings"][name]
    (stopped.folder / "comparison.json").write_text(json.dumps(about))
    assert quick(shapes, tmp_path / "found", ["squeezenet1_1"]).folder == stopped.folder
