"""Killed with kill -9, wherever: the repeat ends as if nothing had been. `benchmarks/faults.py` does it at random."""

from __future__ import annotations

import importlib.util
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest

import regraft
from regraft import run_folder

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no kill -9")

SMALL = {"img_size": 64, "epochs": 3, "device": "cpu"}
TRAIN = "import regraft, sys; regraft.train(sys.argv[1], out=sys.argv[2], img_size=64, epochs=3, device='cpu')"


@pytest.fixture(scope="module")
def faults() -> ModuleType:
    """The benchmark, which knows what must be equal."""
    found = importlib.util.spec_from_file_location(
        "faults", Path(__file__).resolve().parents[1] / "benchmarks" / "faults.py"
    )
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    sys.modules["faults"] = module
    found.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def place(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `whole`, a training that nothing has disturbed, done under the name `run`, which is free again."""
    place = tmp_path_factory.mktemp("place")
    regraft.train(shapes, out=place / "run", **SMALL).folder.rename(place / "whole")
    return place


def kill_when_there_is(file: Path, command: list[str]) -> None:
    with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
        while process.poll() is None and not file.exists():
            time.sleep(0.001)  # a look at the folder, not a wait for anything
        process.kill()
        assert process.wait() == -signal.SIGKILL


@pytest.mark.parametrize("file", ["config.json", "metrics.json", "findings.csv"])
def test_a_training_that_is_killed_goes_on_to_the_same_run_report_and_findings_included(
    place: Path, shapes: Path, tmp_path: Path, faults: ModuleType, file: str
) -> None:
    """Killed with its figures there and its page not yet, a run of version 0.1.0 called itself finished for ever."""
    killed = place / "run"
    kill_when_there_is(killed / file, [sys.executable, "-c", TRAIN, str(shapes), str(killed)])
    assert not run_folder.finished(killed)
    regraft.train(shapes, out=killed, resume=True)
    assert run_folder.finished(killed)
    assert faults.contents(killed).keys() >= {"report.html", "findings.csv", "metrics.json"}
    assert faults.contents(killed) == faults.contents(place / "whole")
    killed.rename(tmp_path / "run")
    assert [path.name for path in place.iterdir()] == ["whole"]
