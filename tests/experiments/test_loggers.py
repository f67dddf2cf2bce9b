"""What a run is, is in the tracker as well: read back from the real packages' own local stores."""

from __future__ import annotations

import csv
import json
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import regraft as package
from regraft.errors import ConfigError, MissingExtra, UnknownName
from regraft.experiments import loggers
from regraft.utils.progress import Progress

SMALL: dict[str, Any] = {"img_size": 64, "device": "cpu", "epochs": 3}
CURVES = {"train/loss": "train_loss", "val/loss": "val_loss", "val/accuracy": "val_accuracy", "lr": "lr"}


@pytest.fixture(autouse=True, scope="module")
def _no_servers() -> Iterator[None]:
    """No tracker of the user's; MLflow's database of its own takes seconds to make, so its files are used here."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("WANDB_MODE", "WANDB_API_KEY", "WANDB_DIR", "WANDB_PROJECT", "MLFLOW_EXPERIMENT_NAME"):
            patch.delenv(name, raising=False)
        patch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
        yield


@pytest.fixture
def mlflow_client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Asks a store of files, which the environment names."""
    tracking = pytest.importorskip("mlflow.tracking", reason="mlflow is not installed")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "tracked").as_uri())
    return lambda: tracking.MlflowClient(tracking_uri=(tmp_path / "tracked").as_uri())


def runs_of(client: Any) -> dict[str, Any]:
    (experiment,) = [one.experiment_id for one in client.search_experiments() if one.name == "regraft"]
    return {run.info.run_name: run for run in client.search_runs([experiment])}


def curve_of(history: Path, column: str) -> list[float]:
    return [float(row[column]) for row in csv.DictReader(history.open())]


def test_tensorboard_shows_the_curves_of_history_csv(shapes: Path, tmp_path: Path) -> None:
    """Of both phases of a fine-tuning, one behind the other; and the figures, the settings and where the pages are."""
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = package.train(
        shapes,
        **{**SMALL, "epochs": 1},
        method="finetuned",
        unfreeze=1,
        logger="tensorboard",
        report=False,
        out=tmp_path / "run",
    )
    events = EventAccumulator(str(tmp_path / "tensorboard/run")).Reload()
    rows = [row for row in csv.DictReader((run.folder / "history.csv").open()) if int(row["epoch"]) > 0]
    assert {row["phase"] for row in rows} == {"head", "tail"}
    for name, column in CURVES.items():
        points = events.Scalars(name)
        assert [point.step for point in points] == list(range(1, len(rows) + 1))
        assert [point.value for point in points] == pytest.approx([float(row[column]) for row in rows], abs=1e-5)
    (accuracy,) = events.Scalars("test/accuracy")
    assert accuracy.value == pytest.approx(run.test.values["accuracy"])
    told = {name: events.Tensors(f"{name}/text_summary")[0].tensor_proto.string_val[0].decode() for name in PAGES}
    assert "| img_size | 64 |" in told["settings"]
    assert str(run.folder / "confusion_matrix.svg") in told["pages"]


PAGES = ("settings", "pages")


def test_mlflow_holds_curves_figures_settings_and_the_page(shapes: Path, tmp_path: Path, mlflow_client: Any) -> None:
    run = package.train(shapes, **SMALL, logger=["mlflow"], out=tmp_path / "run")
    client = mlflow_client()
    (found,) = runs_of(client).values()
    assert (found.info.run_name, found.info.status) == ("run", "FINISHED")
    assert (found.data.params["img_size"], found.data.params["logger"]) == ("64", "mlflow")
    for name, column in CURVES.items():
        points = client.get_metric_history(found.info.run_id, name)
        assert [point.step for point in points] == [1, 2, 3]
        assert [point.value for point in points] == pytest.approx(
            curve_of(run.folder / "history.csv", column), abs=1e-5
        )
    assert found.data.metrics["test/accuracy"] == run.test.values["accuracy"]
    assert found.data.metrics["test/accuracy_ci_low"] == run.test.as_dict()["accuracy_ci"][0]
    kept = Path(client.download_artifacts(found.info.run_id, "report.html"))
    assert kept.read_bytes() == (run.folder / "report.html").read_bytes()


def test_mlflow_has_a_database_beside_the_runs_where_nothing_else_is_named(
    tmp_path: Path, mlflow_client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("sqlalchemy", reason="sqlalchemy is not installed")
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    (tmp_path / "report.html").write_text("a page")
    log = import_module("regraft.experiments.loggers.mlflow").start(loggers.Started("run", tmp_path, {}, "", ""))
    log.end({"test/accuracy": 0.5}, [tmp_path / "report.html"])
    from mlflow.tracking import MlflowClient

    (found,) = runs_of(MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'mlflow/mlflow.db'}")).values()
    assert found.data.metrics == {"test/accuracy": 0.5}
    assert (tmp_path / "mlflow/artifacts" / found.info.run_id / "artifacts/report.html").read_text() == "a page"


def records(path: Path) -> Iterator[Any]:
    """Read a .wandb file: blocks of 32 KiB with pieces of records in them, as LevelDB's logs have."""
    from wandb.proto import wandb_internal_pb2

    content, at, held = path.read_bytes(), 7, b""
    while at + 7 <= len(content):
        if left := -at % 32768 if -at % 32768 < 7 else 0:
            at += left
            continue
        _, length, kind = struct.unpack("<IHB", content[at : at + 7])
        held, at = held + content[at + 7 : at + 7 + length], at + 7 + length
        if kind in (1, 4):  # a whole one, or its last piece
            record = wandb_internal_pb2.Record()
            record.ParseFromString(held)
            held = b""
            yield record


def test_wandb_writes_a_run_offline(shapes: Path, tmp_path: Path) -> None:
    """Nothing leaves this machine unless its own environment variables say so."""
    wandb = pytest.importorskip("wandb", reason="wandb is not installed")
    run = package.train(shapes, **SMALL, logger="wandb", out=tmp_path / "run")
    wandb.teardown()  # its process has written all when it has ended
    (folder,) = (tmp_path / "wandb").glob("offline-run-*")
    (file,) = folder.glob("*.wandb")
    seen = list(records(file))
    points = [
        {".".join(item.nested_key) or item.key: json.loads(item.value_json) for item in one.history.item}
        for one in seen
        if one.WhichOneof("record_type") == "history"
    ]
    curve = [point["val/loss"] for point in points if "val/loss" in point]
    assert curve == pytest.approx(curve_of(run.folder / "history.csv", "val_loss"), abs=1e-5)
    begun = next(one.run for one in seen if one.WhichOneof("record_type") == "run")
    config = {item.key or item.nested_key[0]: item.value_json for item in begun.config.update}
    assert (begun.display_name, config["img_size"]) == ("run", "64")
    updates = [item for one in seen if one.WhichOneof("record_type") == "summary" for item in one.summary.update]
    summary = {item.key or item.nested_key[0]: item.value_json for item in updates}
    assert json.loads(summary["test/accuracy"]) == run.test.values["accuracy"]
    (page,) = (folder / "files/media/html").glob("report_*.html")
    assert page.read_bytes() == (run.folder / "report.html").read_bytes()


class StopsOnce(Progress):
    """Presses Ctrl-C behind the first epoch."""

    def epoch(self, number: int, figures: Any) -> None:
        raise KeyboardInterrupt


def test_a_resumed_run_goes_on_in_the_logged_run(shapes: Path, tmp_path: Path, mlflow_client: Any) -> None:
    """Which says that it was stopped; an epoch that was lost and is trained again has the same figures again."""
    asked: dict[str, Any] = {"out": tmp_path / "run", "report": False}
    assert package.train(shapes, **SMALL, logger="mlflow", progress=StopsOnce(), **asked).interrupted
    (stopped,) = runs_of(mlflow_client()).values()
    run = package.train(shapes, resume=True, **asked)
    (found,) = runs_of(mlflow_client()).values()
    assert found.info.run_id == stopped.info.run_id
    assert (stopped.info.status, found.info.status) == ("KILLED", "FINISHED")
    points = mlflow_client().get_metric_history(found.info.run_id, "val/loss")
    curve = {point.step: point.value for point in points}
    assert {(point.step, point.value) for point in points} == set(curve.items())
    assert [curve[step] for step in (1, 2, 3)] == pytest.approx(curve_of(run.folder / "history.csv", "val_loss"))


def test_folds_and_rows_are_runs_of_their_own(shapes: Path, tmp_path: Path, mlflow_client: Any) -> None:
    """Below the run of all of them, with the figures that the tables have."""
    from regraft.experiments.comparison import candidates_of, compare

    folds = package.train(
        shapes, **SMALL, method="features", folds=2, logger="mlflow", report=False, out=tmp_path / "cv"
    )
    network = "efficientnet_lite0"
    table = compare(
        shapes,
        candidates_of(network, "frozen,features"),
        control_epochs=0,
        logger="mlflow",
        out=tmp_path / "all",
        **{**SMALL, "folds": 2},
    )
    found = runs_of(mlflow_client())
    rows = [f"all/tf_{network}-{method}" for method in ("frozen", "features")]
    parts = [f"{row}/fold-{number}" for row in rows for number in (1, 2)]
    assert sorted(found) == sorted(["cv", "cv/fold-1", "cv/fold-2", "all", *rows, *parts])
    above = {name: run.data.tags.get("mlflow.parentRunId") for name, run in found.items()}
    assert above["cv/fold-1"] == found["cv"].info.run_id
    assert above[rows[0]] == found["all"].info.run_id
    assert above["cv"] is above["all"] is None
    assert found["cv"].data.metrics["test/accuracy"] == folds.test.values["accuracy"]
    for row in table:
        name = f"all/{row.backbone}-{row.method}"
        assert found[name].data.metrics["test/accuracy"] == row.test["accuracy"]
    pages = [one.path for one in mlflow_client().list_artifacts(found["all"].info.run_id)]
    assert "comparison.html" in pages


BROKEN = """
class Log:
    key = where = "here"

    def epoch(self, number, figures):
        raise OSError(28, "No space left on device")

def packages():
    return ()

def start(started):
    if {refuses}:
        raise ConnectionError("nobody answers")
    return Log()
"""


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Adds a logger that fails at once, or at its first epoch."""
    monkeypatch.setattr(loggers, "__path__", [*loggers.__path__, str(tmp_path)])
    monkeypatch.delitem(sys.modules, "regraft.experiments.loggers.broken", raising=False)
    return lambda refuses: (tmp_path / "broken.py").write_text(BROKEN.replace("{refuses}", str(refuses)))


def test_a_training_outlives_its_logger(shapes: Path, tmp_path: Path, broken: Callable[[bool], None]) -> None:
    broken(False)
    with pytest.warns(package.RegraftWarning, match="broken failed .No space left.*goes on without it"):
        run = package.train(shapes, **SMALL, logger="broken", report=False, out=tmp_path / "run")
    assert not run.interrupted


def test_a_logger_that_cannot_begin_is_told_before_the_first_epoch(
    shapes: Path, tmp_path: Path, broken: Callable[[bool], None]
) -> None:
    broken(True)
    with pytest.raises(ConfigError, match=r"broken cannot begin .nobody answers"):
        package.train(shapes, **SMALL, logger="broken", out=tmp_path / "run")
    assert not (tmp_path / "run/history.csv").exists()


def test_what_is_not_there_is_said_before_anything_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = tmp_path / "nowhere"
    with pytest.raises(UnknownName, match="Did you mean tensorboard"):
        package.train(nowhere, logger="tensorbord")
    monkeypatch.setattr(import_module("regraft.experiments.loggers.wandb"), "packages", lambda: ("none_such",))
    with pytest.raises(MissingExtra, match=r"pip install 'regraft\[wandb\]'"):
        package.train(nowhere, logger="tensorboard,wandb")
    with pytest.raises(ConfigError, match="trains no network"):
        package.recommend(nowhere, logger="wandb")


def test_no_library_is_imported_before_it_is_asked_for() -> None:
    program = """
import sys
from regraft.experiments import loggers
from regraft.utils import plugins
for name in loggers.names():
    plugins.load("regraft.experiments.loggers", name)
print([name for name in ("tensorboard", "mlflow", "wandb", "torch") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr
