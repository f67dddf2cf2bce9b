"""Say what is going on: silent in Python, to stderr on the command line."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from regraft.utils.streams import printable, say_aside


class Tick(Protocol):
    """Called with what has been done since the last call, and a short text such as the newest loss."""

    def __call__(self, advance: int = 1, text: str = "") -> None:
        """Move on."""


class Progress:
    """The silent one; the base of the spoken one."""

    def note(self, text: str) -> None:
        """Say one sentence."""

    def warn(self, text: str) -> None:
        """Say one sentence that the user should not miss."""

    @contextmanager
    def track(self, what: str, total: int, unit: str = "") -> Iterator[Tick]:
        """Show how far `what` is, with the time that is left."""
        yield lambda advance=1, text="": None

    def __deepcopy__(self, memo: dict[int, object]) -> Progress:
        """Return itself: copies of what is listened to, as scikit-learn makes them, tell the same listener."""
        return self


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

    def __init__(self) -> None:
        from rich.console import Console

        self.console = Console(stderr=True, highlight=False)

    def note(self, text: str) -> None:  # noqa: D102
        self.console.print(printable(text), markup=False, soft_wrap=True)

    def warn(self, text: str) -> None:  # noqa: D102
        self.console.print(f"Note: {printable(text)}", style="yellow", markup=False, soft_wrap=True)

    @contextmanager
    def track(self, what: str, total: int, unit: str = "") -> Iterator[Tick]:  # noqa: D102
        with self._bar(what, total, unit) if self.console.is_terminal else _lines(what, total, unit) as tick:
            yield tick

    @contextmanager
    def _bar(self, what: str, total: int, unit: str) -> Iterator[Tick]:
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as Bars

        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn(unit),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[text]}"),
        )
        with Bars(*columns, console=self.console) as bars:
            task = bars.add_task(printable(what), total=total, text="")

            def tick(advance: int = 1, text: str = "") -> None:
                bars.update(task, advance=advance, text=text)

            yield tick


@contextmanager
def _lines(what: str, total: int, unit: str, every_s: float = 10.0) -> Iterator[Tick]:
    start = spoken = time.monotonic()
    done = 0

    def tick(advance: int = 1, text: str = "") -> None:
        nonlocal done, spoken
        done += advance
        now = time.monotonic()
        if now - spoken >= every_s or done == total:
            spoken = now
            left = (now - start) / max(done, 1) * (total - done)
            say_aside(f"{what} {done}/{total} {unit} {now - start:.0f} s, {left:.0f} s left {text}".rstrip())

    yield tick
