"""Say what is going on: warnings alone in Python, to stderr on the command line."""

from __future__ import annotations

import inspect
import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, TypeAlias

from regraft.errors import ConfigError, RegraftWarning, as_called
from regraft.utils.streams import printable, say_aside


class Tick(Protocol):
    """Called with what has been done since the last call, and a short text such as the newest loss."""

    def __call__(self, advance: int = 1, text: str = "") -> None:
        """Move on."""


class Progress:
    """Hears what is going on, and says nothing of it; a class of yours may tell it in its own way."""

    def note(self, text: str) -> None:
        """Say one sentence."""

    def detail(self, text: str) -> None:
        """Say what only those want to know who asked for it with ``--verbose``."""

    def warn(self, text: str) -> None:
        """Say one sentence that the user should not miss."""

    def epoch(self, number: int, figures: Mapping[str, float]) -> None:
        """Hear the figures of an epoch (train_loss, val_loss …); epochs are counted from 1 over all phases."""

    @contextmanager
    def track(self, what: str, total: int, unit: str = "") -> Iterator[Tick]:
        """Show how far `what` is, with the time that is left."""
        yield lambda advance=1, text="": None

    def __deepcopy__(self, memo: dict[int, object]) -> Progress:
        """Return itself: copies of what is listened to, as scikit-learn makes them, tell the same listener."""
        return self


Listener: TypeAlias = "Progress | bool | None"
"""True: bars and sentences on stderr; False: nothing; None: warnings of Python alone; or what hears it."""


def listener(asked: Listener) -> Progress:
    """Return who hears what is going on.

    Raises:
        ConfigError: it is nobody.
    """
    if isinstance(asked, Progress):
        return asked
    if asked is None:
        return Warned()
    if not isinstance(asked, bool):
        raise ConfigError(
            f"progress is {asked!r}; expected True (bars and sentences), False (nothing), None (warnings alone) or a "
            "regraft.Progress."
        )
    return TerminalProgress() if asked else Progress()


class Warned(Progress):
    """Warns as Python does, at the line that called Regraft, and leaves all else out."""

    def warn(self, text: str) -> None:  # noqa: D102
        warnings.warn(as_called(text), RegraftWarning, stacklevel=_depth())


def _depth() -> int:
    """Return how many frames up from `warn` the caller of the package is."""
    own = f"{Path(__file__).parents[1]}{os.sep}"
    frames = [frame.filename for frame in inspect.stack(context=0)[1:]]
    return 2 + max(at for at, file in enumerate(frames) if file.startswith(own))


class Bars(Progress):
    """Shows how far things are and leaves the sentences out: where many runs follow each other."""

    def __init__(self, inner: Progress) -> None:
        self.track = inner.track  # type: ignore[method-assign]


class PartOf(Progress):
    """Shows bars and warnings under the name of what they are part of, and leaves the other sentences out."""

    def __init__(self, inner: Progress, name: str) -> None:
        self._inner, self._name = inner, name

    def warn(self, text: str) -> None:  # noqa: D102
        self._inner.warn(f"{self._name}: {text}")

    @contextmanager
    def track(self, what: str, total: int, unit: str = "") -> Iterator[Tick]:  # noqa: D102
        with self._inner.track(f"{self._name}: {what}", total, unit) as tick:
            yield tick


class TerminalProgress(Progress):
    """Bars on a terminal; a line now and then where stderr is a file, so that a log stays short."""

    def __init__(self, *, verbose: bool = False) -> None:
        from rich.console import Console

        self.console = Console(stderr=True, highlight=False)
        if verbose:
            self.detail = self.note  # type: ignore[method-assign]

    def note(self, text: str) -> None:  # noqa: D102
        self.console.print(printable(as_called(text)), markup=False, soft_wrap=True)

    def warn(self, text: str) -> None:  # noqa: D102
        self.console.print(f"Note: {printable(as_called(text))}", style="yellow", markup=False, soft_wrap=True)

    @contextmanager
    def track(self, what: str, total: int, unit: str = "") -> Iterator[Tick]:  # noqa: D102
        with self._bar(what, total, unit) if self.console.is_terminal else _lines(what, total, unit) as tick:
            yield tick

    @contextmanager
    def _bar(self, what: str, total: int, unit: str) -> Iterator[Tick]:
        from rich.progress import Progress as Bars
        from rich.progress import ProgressColumn, Task
        from rich.text import Text

        pace, said = Pace(total), ""

        class Line(ProgressColumn):
            """The whole line: what it has no room for is cut, but never the time left."""

            max_refresh = 0.2

            def render(self, task: Task) -> Text:
                done = f"{pace.done}/{total} {unit}".rstrip()
                times = f"{_clock(task.elapsed)}, {_clock(pace.left_s)} left"
                return Text(bar_line(what, done, times, said, pace.done / max(total, 1), bars.console.width - 1))

        with Bars(Line(), console=self.console) as bars:
            task = bars.add_task(what, total=total)

            def tick(advance: int = 1, text: str = "") -> None:
                nonlocal said
                said = text
                pace.step(advance)
                bars.update(task, advance=advance)

            yield tick


class Pace:
    """How long things have taken, and how long the rest will at that pace."""

    def __init__(self, total: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.total, self.done, self._clock = total, 0, clock
        self._start = self._last = clock()
        self._before = 0  # what was done before the pace was taken

    def step(self, advance: int) -> None:
        """Move on; what is there within the first second, as of a run that goes on, tells no pace."""
        self.done, self._last = self.done + advance, self._clock()
        if not self._before and self._last - self._start < 1:
            self._before, self._start = self.done, self._last

    @property
    def per_s(self) -> float:
        """How many are done in a second; 0 before anything is."""
        return (self.done - self._before) / max(self._last - self._start, 1e-9)

    @property
    def left_s(self) -> float | None:
        """Seconds that are left, from now on; None before anything is done."""
        fresh = self.done - self._before
        if not fresh:
            return None
        at_last = (self._last - self._start) / fresh * (self.total - self.done)
        return max(0.0, at_last - (self._clock() - self._last))


def bar_line(what: str, done: str, times: str, said: str, share: float, width: int) -> str:
    """Return a line of at most `width` cells with `done` and `times` whole; the name and what is said give way."""
    from rich.cells import cell_len

    fixed = f"{done}  {times}"
    name = cut(printable(what), width - cell_len(fixed) - 1)
    room = width - cell_len(name) - cell_len(fixed) - 2
    text = cut(printable(said), room - 1)
    cells = min(BAR, room - cell_len(text) - 1)
    filled = round(share * cells)
    bar = [filled * "━" + (cells - filled) * "─"] if cells >= LEAST_BAR else []
    return " ".join(part for part in (name, *bar, fixed, text) if part)


BAR, LEAST_BAR = 24, 6  # cells; a shorter bar shows nothing


def cut(text: str, width: int) -> str:
    """Return a text of at most `width` cells, with … where something is left out."""
    from rich.text import Text

    if width < 1:
        return ""
    shown = Text(text)
    shown.truncate(width, overflow="ellipsis")
    return shown.plain


def _clock(seconds: float | None) -> str:
    if seconds is None:
        return "-:--"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


@contextmanager
def _lines(what: str, total: int, unit: str, every_s: float = 10.0) -> Iterator[Tick]:
    start = spoken = time.monotonic()
    pace = Pace(total)

    def tick(advance: int = 1, text: str = "") -> None:
        nonlocal spoken
        pace.step(advance)
        now = time.monotonic()
        if now - spoken >= every_s or pace.done == total:
            spoken = now
            left = f", {pace.left_s or 0:.0f} s left"
            say_aside(f"{what} {pace.done}/{total} {unit} {now - start:.0f} s{left} {text}".rstrip())

    yield tick
