"""In any window the time left is to be seen, and it is what the pace so far says."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

import regraft
from regraft.errors import ConfigError
from regraft.utils.progress import Pace, TerminalProgress, bar_line

DONE, TIMES = "12/30 epochs", "1:02:25, 0:40 left"


@example(what="00000", said="00", share=0.0, width=40)  # no room is left for what is said
@given(what=st.text(max_size=120), said=st.text(max_size=120), share=st.floats(0, 1), width=st.integers(40, 200))
def test_a_line_fits_and_shows_the_time_left_whole(what: str, said: str, share: float, width: int) -> None:
    line = bar_line(what, DONE, TIMES, said, share, width)
    assert cell_len(line.replace("\n", "")) <= width
    assert f"{DONE}  {TIMES}" in line


def test_a_terminal_of_80_columns_shows_the_time_left_of_a_step_with_a_long_name(capsys) -> None:
    progress = TerminalProgress()
    progress.console = Console(stderr=True, width=80, force_terminal=True, color_system=None, highlight=False)
    what = "inception_resnet_v2, finetuned, fold 3: Training (tail)"
    with progress.track(what, 2, "epochs") as tick:
        tick(1, "loss 0.123, validation 0.234, accuracy 0.950")
        tick(1, "loss 0.120, validation 0.230, accuracy 0.951")
    assert " 2/2 epochs  0:00, " in capsys.readouterr().err


class Clock:
    """A clock that is set."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_the_time_left_runs_down_between_epochs_of_a_minute() -> None:
    clock = Clock()
    pace = Pace(5, clock)
    assert pace.left_s is None
    clock.now += 60
    pace.step(1)
    assert pace.left_s == pytest.approx(240)
    clock.now += 45
    assert pace.left_s == pytest.approx(195)
    clock.now += 500
    assert pace.left_s == 0


def test_what_was_there_before_tells_no_pace() -> None:
    clock = Clock()
    pace = Pace(10, clock)
    pace.step(8)  # epochs of the run that goes on
    assert pace.left_s is None
    clock.now += 60
    pace.step(1)
    assert pace.left_s == pytest.approx(60)


def test_details_are_for_those_who_ask(capsys) -> None:
    for verbose in (False, True):
        TerminalProgress(verbose=verbose).detail("stage  frozen")
        assert ("stage  frozen" in capsys.readouterr().err) == verbose


def test_in_python_what_is_left_out_is_a_warning_at_the_line_that_asked(small_run: Path, drawn: Path) -> None:
    (drawn / "notes.txt").write_text("what is no picture")
    for progress, expected in ((None, 1), (False, 0)):
        with warnings.catch_warnings(record=True) as given:
            warnings.simplefilter("always")
            regraft.predict(small_run, drawn, progress=progress)
        ours = [one for one in given if one.category is regraft.RegraftWarning]
        assert len(ours) == expected
        assert all("notes.txt" in str(one.message) and one.filename == __file__ for one in ours)


def test_true_shows_it_in_the_terminal(small_run: Path, drawn: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (drawn / "notes.txt").write_text("what is no picture")
    regraft.predict(small_run, drawn, progress=True)
    assert "notes.txt" in capsys.readouterr().err


@pytest.mark.parametrize("nobody", [print, "yes", 1])
def test_who_cannot_hear_is_refused_before_anything_is_looked_for(nobody: Any) -> None:
    """By every function that takes a progress."""
    for ask in (regraft.train, regraft.compare, regraft.check, regraft.recommend, regraft.report):
        with pytest.raises(ConfigError, match="expected True"):
            ask("nowhere", progress=nobody)
    for of_model in (regraft.predict, regraft.evaluate, regraft.features, regraft.explain):
        with pytest.raises(ConfigError, match="expected True"):
            of_model("nowhere", "nowhere", progress=nobody)
