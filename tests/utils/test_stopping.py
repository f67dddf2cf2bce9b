"""SIGTERM and SIGHUP end a command as Ctrl-C does; in Python they stay the caller's."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import regraft
from regraft.experiments.run import Run
from regraft.inference import bundle
from regraft.utils import stopping

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows sends no signals")

SMALL = {"img_size": 64, "epochs": 6, "report": False}
COMMAND = "from regraft.cli.commands import main; main()"
AT_EPOCH_2 = """
import os, signal, sys
from regraft.training.history import History
name, write = sys.argv.pop(), History.write
def stop(self):
    write(self)
    if len(self.rows) == 2:
        signal.raise_signal(getattr(signal, name))
History.write = stop
"""
IN_PYTHON = """
import regraft, sys
regraft.train(sys.argv[1], out=sys.argv[2], img_size=64, epochs=6)
print("went on")
"""


@pytest.fixture
def default_signals() -> Iterator[None]:
    """Signals as a shell leaves them."""
    before = {number: signal.signal(number, signal.SIG_DFL) for number in (signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(scope="module")
def whole(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A training that nothing disturbs."""
    return regraft.train(shapes, out=tmp_path_factory.mktemp("whole") / "run", **SMALL)


@pytest.mark.parametrize(("name", "status"), [("SIGTERM", 143), ("SIGHUP", 129)])
def test_a_training_that_a_signal_ends_goes_on_to_the_same_end(
    whole: Run, shapes: Path, tmp_path: Path, name: str, status: int
) -> None:
    """Sent in the second epoch, inside Lightning's trainer."""
    train = ["train", str(shapes), "--out", str(tmp_path / "run"), "--img-size", "64", "--epochs", "6", "--no-report"]
    ended = subprocess.run([sys.executable, "-c", AT_EPOCH_2 + COMMAND, *train, name], capture_output=True, text=True)
    assert (ended.returncode, "Traceback" in ended.stderr) == (status, False)
    assert ended.stderr.splitlines()[-1].startswith("Stopped. Go on with: regraft train ")
    run = regraft.train(shapes, out=tmp_path / "run", resume=True, report=False)
    assert run.test.as_dict() == whole.test.as_dict()
    assert bundle.load(run.folder).about["sha256"] == bundle.load(whole.folder).about["sha256"]


def test_in_python_a_signal_does_what_the_caller_has_set(shapes: Path, tmp_path: Path) -> None:
    """Not what Lightning makes of it: a process that is told to end ends."""
    script = [sys.executable, "-c", AT_EPOCH_2 + IN_PYTHON, str(shapes), str(tmp_path / "run"), "SIGTERM"]
    ended = subprocess.run(script, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout) == (-signal.SIGTERM, "")


def test_the_status_is_the_signal_s_wherever_it_came(tmp_path: Path) -> None:
    """Here in code that is compiled at run time, as each dataclass of a library that is being imported."""
    script = "from regraft.utils import stopping\n"
    script += "with stopping.like_ctrl_c():\n"
    script += "    try: exec('import os, signal; signal.raise_signal(signal.SIGTERM)')\n"
    script += "    except KeyboardInterrupt: raise SystemExit(stopping.status())"
    (tmp_path / "stopped.py").write_text(script)
    assert subprocess.run([sys.executable, "-m", "stopped"], cwd=tmp_path).returncode == 143


@pytest.mark.usefixtures("default_signals")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP] if os.name != "nt" else [])
def test_a_signal_is_ctrl_c_inside_the_block_and_itself_outside(number: signal.Signals) -> None:
    with pytest.raises(KeyboardInterrupt), stopping.like_ctrl_c():
        signal.raise_signal(number)
    assert signal.getsignal(number) is signal.SIG_DFL
    assert stopping.status() == 128 + number


@pytest.mark.usefixtures("default_signals")
def test_a_signal_that_comes_again_at_once_does_not_disturb_what_the_first_has_begun() -> None:
    """A terminal that is closed sends SIGHUP, and a shell that it ends sends it on."""
    done = []
    with stopping.like_ctrl_c():
        try:
            signal.raise_signal(signal.SIGHUP)
        except KeyboardInterrupt:
            signal.raise_signal(signal.SIGHUP)
            signal.raise_signal(signal.SIGTERM)
            done.append("kept")
    assert (done, stopping.status()) == (["kept"], 129)


@pytest.mark.usefixtures("default_signals")
@pytest.mark.parametrize("handler", [signal.SIG_IGN, lambda *_: None])
def test_who_ignores_a_signal_goes_on_doing_so(handler: Callable[..., None]) -> None:
    """As `nohup` does."""
    signal.signal(signal.SIGHUP, handler)
    with stopping.like_ctrl_c():
        signal.raise_signal(signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) is handler
