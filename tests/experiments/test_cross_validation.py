"""Cross-validation: every picture is tested once, by the model that training alone gives; stopping changes nothing."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import f1_score, log_loss

import regraft
from regraft.data import natural_key
from regraft.errors import BundleError, ConfigError, DataError, RunError, RunMissing, SplitError
from regraft.experiments.run import Run
from regraft.metrics.predictions import Predicted
from regraft.utils.progress import Progress, Tick

SMALL: dict[str, Any] = {
    "backbone": "squeezenet1_1",
    "weights": "random",
    "img_size": 64,
    "epochs": 3,
    "device": "cpu",
    "engine": "torch",
    "folds": 3,
}
TWINS = [f"red/red{number}.png" for number in range(4)]
GROUPS = r"\d+"  # blue3, green3, red3 and yellow3 are of one patient: 20 groups


class Listener(Progress):
    """Counts the pictures that go through the network, and hears what is said."""

    def __init__(self) -> None:
        self.passed, self.said, self.warned = Counter[str](), list[str](), list[str]()

    def note(self, text: str) -> None:
        self.said.append(text)

    def warn(self, text: str) -> None:
        self.warned.append(text)

    @contextmanager
    def track(self, what: str, total: int, unit: str = "") -> Iterator[Tick]:
        def tick(advance: int = 1, text: str = "") -> None:
            self.passed[what] += advance

        yield tick


class StopAfter(Progress):
    """Calls `stop` at the end of an epoch of one fold."""

    def __init__(self, fold: int, epochs: int, stop: Callable[[], None]) -> None:
        self.fold, self.left, self.stop = f"Fold {fold} ", epochs, stop

    @contextmanager
    def track(self, what: str, total: int, unit: str = "") -> Iterator[Tick]:
        def tick(advance: int = 1, text: str = "") -> None:
            if what.startswith(self.fold):
                self.left -= 1
                if self.left == 0:
                    self.stop()

        yield tick


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def metrics(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    return found


@pytest.fixture(scope="module")
def whole(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """An uninterrupted cross-validation, with a tail that learns."""
    return regraft.train(shapes, out=tmp_path_factory.mktemp("folds") / "whole", method="finetuned", **SMALL)


@pytest.fixture(scope="module")
def grouped(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    out = tmp_path_factory.mktemp("folds") / "grouped"
    return regraft.train(shapes, out=out, groups=GROUPS, method="features", **SMALL)


# ---- what is tested -------------------------------------------------------------------------------------------------


def test_every_picture_is_tested_once_by_the_fold_that_says_so(whole: Run, shapes: Path) -> None:
    rows = read_csv(whole.folder / "predictions.csv")
    names = sorted((path.relative_to(shapes).as_posix() for path in shapes.glob("*/*.png")), key=natural_key)
    assert [row["filename"] for row in rows] == names
    for number, fold in enumerate(whole.folds, start=1):
        told = {row["filename"]: row["label"] for row in rows if row["fold"] == str(number)}
        assert told == {row["filename"]: row["label"] for row in read_csv(fold.folder / "predictions.csv")}
        tested = {row["filename"] for row in read_csv(fold.folder / "split.csv") if row["split"] == "test"}
        assert told.keys() == tested


def test_no_group_is_learned_and_tested_in_one_fold_nor_tested_in_two(grouped: Run) -> None:
    tested = set[str]()
    for fold in grouped.folds:
        rows = read_csv(fold.folder / "split.csv")
        parts = {part: {row["group"] for row in rows if row["split"] == part} for part in ("train", "val", "test")}
        assert sum(map(len, parts.values())) == 20
        assert not tested & parts["test"]
        tested |= parts["test"]
    assert len(tested) == 20


def test_val_is_a_share_of_what_is_not_tested(shapes: Path, tmp_path: Path) -> None:
    run = regraft.train(shapes, out=tmp_path / "run", method="features", val=0.25, **{**SMALL, "folds": 2})
    for fold in run.folds:
        counts = Counter(row["split"] for row in read_csv(fold.folder / "split.csv"))
        assert counts == {"test": 40, "train": 30, "val": 10}


# ---- figures --------------------------------------------------------------------------------------------------------


def test_a_run_of_before_is_opened_with_all_its_figures(whole: Run, small_run: Path) -> None:
    found, expected = Run.open(whole.folder).as_dict(), whole.as_dict()
    assert found == expected
    single = Run.open(small_run)
    assert single.test.as_dict() == metrics(small_run)["test"]
    with pytest.raises(RunMissing, match=r"Is .* a run folder\?"):
        Run.open(small_run.parent / "nowhere")


def test_the_figures_of_all_folds_are_those_of_all_answers(whole: Run) -> None:
    rows = read_csv(whole.folder / "predictions.csv")
    said, true = ([row[name] for row in rows] for name in ("label", "truth"))
    assert whole.test.n == 80
    assert whole.test.values["accuracy"] == pytest.approx(np.mean([a == b for a, b in zip(said, true, strict=True)]))
    assert whole.test.values["macro_f1"] == pytest.approx(f1_score(true, said, average="macro", zero_division=0))
    predictions = Predicted.load(whole.folder)
    assert whole.test.values["log_loss"] == pytest.approx(
        log_loss(predictions.labels, predictions.probabilities), rel=1e-5
    )
    assert sum(map(sum, metrics(whole.folder)["confusion"])) == 80


def test_mean_and_deviation_are_numpy_s(whole: Run) -> None:
    found = metrics(whole.folder)
    kept = [metrics(whole.folder / f"fold-{number}")["test"] for number in (1, 2, 3)]
    for name in ("accuracy", "balanced_accuracy", "macro_f1", "auroc", "log_loss"):
        values = [fold[name] for fold in kept]
        assert found["mean"][name] == whole.mean[name] == pytest.approx(np.mean(values))
        assert found["deviation"][name] == whole.deviation[name] == pytest.approx(np.std(values, ddof=1))
        assert [fold["test"][name] for fold in found["folds"]] == values


def test_intervals_are_drawn_over_groups_where_there_are_groups(whole: Run, grouped: Run) -> None:
    assert whole.test.groups is None
    assert grouped.test.groups == 20


def test_one_split_has_no_folds(small_run: Path) -> None:
    assert not {"folds", "mean", "deviation"} & metrics(small_run).keys()


# ---- what is computed -----------------------------------------------------------------------------------------------


def test_the_frozen_part_runs_once_for_all_folds(shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGRAFT_CACHE", str(tmp_path / "cache"))
    listener = Listener()
    run = regraft.train(shapes, out=tmp_path / "run", method="finetuned", views=3, progress=listener, **SMALL)
    learned = {
        row["filename"] for fold in run.folds for row in read_csv(fold.folder / "split.csv") if row["split"] == "train"
    }
    passed = {what: count for what, count in listener.passed.items() if what.startswith("squeezenet")}
    assert passed == {"squeezenet1_1": 80, "squeezenet1_1, augmented views": len(learned)}


def test_a_cross_validation_has_no_parts_of_its_own_and_says_whose_to_take(whole: Run, shapes: Path) -> None:
    with pytest.raises(SplitError, match=r"is a cross-validation.*Name one: .*fold-1$"):
        regraft.train(shapes, split_from=whole.folder, method="features")


@pytest.mark.parametrize("number", [1, 3])
def test_a_fold_is_what_training_alone_on_its_parts_gives(
    whole: Run, shapes: Path, tmp_path: Path, number: int
) -> None:
    """Whatever the folds before have done to the network."""
    fold = whole.folder / f"fold-{number}"
    settings = {**SMALL, "folds": None, "method": "finetuned", "split_from": fold}
    alone = regraft.train(shapes, out=tmp_path / "alone", **settings)
    for name in ("predictions.csv", "split.csv", "history.csv", "model/model.safetensors"):
        assert (fold / name).read_bytes() == (alone.folder / name).read_bytes()


def test_each_fold_is_a_run_that_can_be_used(whole: Run, shapes: Path) -> None:
    for fold in whole.folds:
        rows = regraft.predict(fold.folder, [shapes / "red"])
        said = {row["filename"]: row["label"] for row in read_csv(fold.folder / "predictions.csv")}
        answered = {f"red/{Path(row['filename']).name}": row["label"] for row in rows}
        assert {name: label for name, label in said.items() if name in answered}.items() <= answered.items()


def test_a_bad_picture_is_left_out_of_all_folds(drawn: Path, tmp_path: Path) -> None:
    (drawn / "red" / "red0.png").write_bytes(b"")
    run = regraft.train(drawn, out=tmp_path / "run", method="features", **SMALL)
    assert run.test.n == 31
    for folder in (run.folder, *(fold.folder for fold in run.folds)):
        assert [row["filename"] for row in read_csv(folder / "skipped.csv")] == ["red/red0.png"]
    again = regraft.train(
        drawn, out=tmp_path / "again", method="features", **{**SMALL, "folds": None}, split_from=run.folds[0].folder
    )
    assert again.test.values == run.folds[0].test.values


@pytest.mark.parametrize("folds", [None, 3])
def test_a_file_that_was_mended_since_stays_left_out_of_a_run_that_goes_on(
    drawn: Path, tmp_path: Path, folds: int | None
) -> None:
    mended = drawn / "red" / "red0.png"
    content = mended.read_bytes()
    mended.write_bytes(b"")
    settings = {**SMALL, "folds": folds, "method": "features"}
    run = regraft.train(drawn, out=tmp_path / "run", **settings)
    said = (run.folder / "predictions.csv").read_bytes()
    (run.folder / "metrics.json").unlink()
    if folds:
        shutil.rmtree(run.folder / "fold-2" / "model")
    mended.write_bytes(content)
    ended = regraft.train(drawn, out=run.folder, resume=True)
    assert (ended.folder / "predictions.csv").read_bytes() == said
    assert [row["filename"] for row in read_csv(ended.folder / "skipped.csv")] == ["red/red0.png"]


# ---- what is said ---------------------------------------------------------------------------------------------------


def test_identical_pictures_in_two_folds_are_named(drawn: Path, tmp_path: Path) -> None:
    for number in range(1, 4):
        shutil.copy(drawn / "red" / "red0.png", drawn / "red" / f"red{number}.png")
    listener = Listener()
    run = regraft.train(drawn, out=tmp_path / "run", method="features", progress=listener, **SMALL)
    folds = {row["fold"] for row in read_csv(run.folder / "predictions.csv") if row["filename"] in TWINS}
    assert len(folds) > 1
    assert any("lies in more than one part or fold: red/red0.png = " in text for text in listener.warned)


def test_pictures_that_an_earlier_model_has_learned_from_are_told(
    small_run: Path, shapes: Path, tmp_path: Path
) -> None:
    listener = Listener()
    settings = {"from_run": small_run, "method": "features", "img_size": 64, "folds": 2}
    regraft.train(shapes, out=tmp_path / "run", progress=listener, **settings)
    assert any(
        text.startswith("68 of 80 test pictures were used to train") and text.endswith("without --folds")
        for text in listener.warned
    )


def test_few_groups_are_told_once(shapes: Path, tmp_path: Path) -> None:
    listener = Listener()
    settings = {**SMALL, "groups": r"(\d)", "epochs": 1}
    regraft.train(shapes, out=tmp_path / "run", progress=listener, **settings)
    assert listener.warned == [
        "Only 10 groups were tested: other groups may give other figures, and the interval for them is wide."
    ]


def test_the_command_line_prints_folds_mean_deviation_and_all_together(
    regraft: Callable[..., Any], drawn: Path, tmp_path: Path
) -> None:
    asked = ("train", drawn, "--method", "features", "--img-size", 64, "--folds", 2)
    answer = regraft(*asked, "--out", tmp_path / "run")
    assert answer.status == 0
    first = [line.split()[0] for line in answer.out.splitlines() if line.strip()]
    assert [word for word in first if word in ("fold", "mean", "±")] == ["fold", "fold", "mean", "±"]
    assert "All folds together: 32 pictures" in answer.out
    assert "95 % interval (over pictures)" in answer.out
    assert f"regraft predict {tmp_path / 'run' / 'fold-1'} " in answer.out
    assert all(len(line) <= 120 for line in answer.out.splitlines() if str(tmp_path) not in line)


def test_json_is_that_of_a_run_with_the_folds_beside_it(
    regraft: Callable[..., Any], drawn: Path, tmp_path: Path
) -> None:
    asked = ("train", drawn, "--method", "features", "--img-size", 64, "--folds", 2)
    found = json.loads(regraft(*asked, "--out", tmp_path / "run", "--json").out)
    usual = ["run", "backbone", "method", "n_test", "seconds", "test", "baseline"]
    assert list(found) == [*usual, "folds", "mean", "deviation"]
    assert found["n_test"] == 32
    assert [list(fold) for fold in found["folds"]] == [usual, usual]
    assert [fold["run"] for fold in found["folds"]] == [str(tmp_path / "run" / f"fold-{n}") for n in (1, 2)]
    low, high = found["test"]["accuracy_ci"]
    assert low <= found["test"]["accuracy"] <= high
    assert found["mean"].keys() == found["deviation"].keys() == {key for key in found["test"] if "_ci" not in key}


# ---- what cannot be meant -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "error", "says"),
    [
        ({"test": 0.2}, ConfigError, "folds= and test= contradict each other"),
        ({"split_from": "runs/x"}, ConfigError, "folds= and split_from= contradict each other"),
        ({"folds": 9}, SplitError, "'blue' has 8 pictures; 9 folds need at least 9"),
        ({"groups": "[a-z]+"}, SplitError, "'blue' has 1 groups; 3 folds need at least 3"),
    ],
)
def test_folds_that_cannot_be_made_are_refused_before_anything_is_written(
    drawn: Path, tmp_path: Path, settings: dict[str, Any], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        regraft.train(drawn, out=tmp_path / "run", **{**SMALL, **settings})
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("command", [regraft.train, regraft.compare])
def test_data_with_parts_of_its_own_is_refused(drawn: Path, tmp_path: Path, command: Callable[..., Any]) -> None:
    for colour in ("blue", "green", "red", "yellow"):
        for part in ("train", "test"):
            (tmp_path / "data" / part).mkdir(parents=True, exist_ok=True)
            shutil.copytree(drawn / colour, tmp_path / "data" / part / colour)
    with pytest.raises(DataError, match=r"has parts of its own \(train, test\), and folds= makes others"):
        command(tmp_path / "data", out=tmp_path / "run", folds=3)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("command", [regraft.check, regraft.recommend])
def test_what_makes_no_folds_refuses_them(drawn: Path, command: Callable[..., Any]) -> None:
    with pytest.raises(ConfigError, match=r"makes no use of (--)?folds"):
        command(drawn, folds=3)


def test_the_whole_has_no_model_and_says_what_to_use(whole: Run, shapes: Path) -> None:
    for use in (regraft.load, lambda run: regraft.train(shapes, from_run=run), lambda run: regraft.predict(run, [])):
        with pytest.raises(BundleError, match=r"is a cross-validation: .*whole/fold-1, or train one without folds="):
            use(whole.folder)


# ---- stopped and gone on with ---------------------------------------------------------------------------------------


def assert_ended_alike(found: Path, expected: Path) -> None:
    names = ["predictions.csv", "skipped.csv", "confusion_matrix.svg"]
    for number in (1, 2, 3):
        of_runs = ("history.csv", "predictions.csv", "split.csv", "model/model.safetensors", "model/bundle.json")
        names += [f"fold-{number}/{name}" for name in of_runs]
    for name in names:
        assert (found / name).read_bytes() == (expected / name).read_bytes(), name
    figures = [metrics(folder) for folder in (found, expected)]
    for name in ("test", "mean", "deviation", "confusion", "per_class"):
        assert figures[0][name] == figures[1][name]
    assert [fold["test"] for fold in figures[0]["folds"]] == [fold["test"] for fold in figures[1]["folds"]]
    assert not list(found.rglob("checkpoints"))


def train_until_killed(data: str, out: str) -> None:
    """Train, and be killed in the second fold; for a process of its own."""
    stop = StopAfter(2, 12, lambda: os.kill(os.getpid(), signal.SIGKILL))  # in its second phase
    regraft.train(data, out=out, method="finetuned", progress=stop, **SMALL)


APART = """
import sys
sys.path.insert(0, sys.argv[1])
import test_cross_validation
test_cross_validation.train_until_killed(*sys.argv[2:])
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no kill -9")
def test_a_cross_validation_killed_with_kill_9_goes_on_to_the_same_end(
    whole: Run, shapes: Path, tmp_path: Path
) -> None:
    out = tmp_path / "killed"
    command = [sys.executable, "-c", APART, str(Path(__file__).parent), str(shapes), str(out)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert [(out / f"fold-{number}" / "model").exists() for number in (1, 2, 3)] == [True, False, False]
    assert (out / "fold-2" / "checkpoints").exists()
    kept = {path: path.stat().st_mtime_ns for path in (out / "fold-1").rglob("*")}
    listener = Listener()
    ended = regraft.train(shapes, out=out, resume=True, progress=listener)  # its settings are known
    assert not [what for what in listener.passed if what.startswith("Fold 1 ")]
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert len(ended.folds) == 3
    assert_ended_alike(out, whole.folder)
    with pytest.raises(RunError, match="finished"):
        regraft.train(shapes, out=out, resume=True)


def test_ctrl_c_in_a_fold_says_how_it_goes_on(whole: Run, shapes: Path, tmp_path: Path) -> None:
    stop = StopAfter(3, 12, lambda: signal.raise_signal(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt, match=r"Go on with: regraft train .*shapes --out .*run --resume"):
        regraft.train(shapes, out=tmp_path / "run", method="finetuned", progress=stop, **SMALL)
    assert not (tmp_path / "run" / "metrics.json").exists()
    with pytest.raises(RunError, match="begun with folds=3, not 4"):
        regraft.train(shapes, out=tmp_path / "run", resume=True, folds=4)
    first = tmp_path / "run" / "fold-1" / "metrics.json"
    first.write_text(json.dumps({**json.loads(first.read_text()), "seconds": 1000.5}))
    ended = regraft.train(shapes, out=tmp_path / "run", resume=True)
    assert ended.seconds > ended.folds[0].seconds == 1000.5  # what was spent before is part of it
    assert_ended_alike(tmp_path / "run", whole.folder)


def test_pictures_that_have_gone_or_come_since_are_no_reason_to_guess(drawn: Path, tmp_path: Path) -> None:
    run = regraft.train(drawn, out=tmp_path / "run", method="features", **SMALL)
    (run.folder / "metrics.json").unlink()
    (drawn / "red" / "red0.png").rename(drawn / "gone.png")
    with pytest.raises(RunError, match=r"1 missing since, the first red/red0\.png\."):
        regraft.train(drawn, out=run.folder, resume=True)
    shutil.copy(drawn / "gone.png", drawn / "red" / "red0.png")
    shutil.copy(drawn / "gone.png", drawn / "red" / "another.png")
    with pytest.raises(RunError, match=r"1 new since, the first red/another\.png\."):
        regraft.train(drawn, out=run.folder, resume=True)
    (drawn / "red" / "another.png").rename(drawn / "red" / "red0.png")
    shutil.copy(drawn / "blue" / "blue0.png", drawn / "red" / "red0.png")
    with pytest.raises(RunError, match=r"1 changed since, the first red/red0\.png\."):
        regraft.train(drawn, out=run.folder, resume=True)
