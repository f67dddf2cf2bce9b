"""Write to the terminal so that no loss is silent, and no file name can command it.

A result that did not reach the disk behind ``>`` is an error; a progress line that did not is none. What is shown has
no control characters: a file may be called ``\\x1b[2J``, which would clear the screen, or carry a mark that reverses
the direction of writing, so that ``exe.gnp`` is read as ``png.exe``.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
from collections.abc import Iterator
from typing import Any

from regraft.errors import OutputLost, reason_of

NOBODY_READS = 141  # what shells give a program whose reader went away, as in `| head`

_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    """Return a text with control characters and marks of direction written out, as in ``\\x1b``; lines stay lines."""
    return _CONTROLS.sub(_written_out, text)


def one_line(name: object) -> str:
    """Return a file's or class's name as `printable` does, on one line."""
    return re.sub("[\t\n]", _written_out, printable(str(name)))


def printable_json(text: str) -> str:
    """Return JSON in which nothing commands a terminal; it is read back as the same values."""
    return _CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _written_out(found: re.Match[str]) -> str:
    short = {"\t": "\\t", "\n": "\\n", "\r": "\\r"}
    code = ord(found[0])
    return short.get(found[0], f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}")


def say(text: object = "") -> None:
    """Print to stdout."""
    print(printable(str(text)))  # noqa: T201  the one place


def say_aside(text: object) -> None:
    """Print to stderr."""
    print(printable(str(text)), file=sys.stderr, flush=True)  # noqa: T201  the other one


# ---- the streams of a command ---------------------------------------------------------------------------------------


@contextlib.contextmanager
def guarded() -> Iterator[Output]:
    """Let a command know whether its output arrives, and not care whether anyone hears of its progress.

    `Output.deliver` is to be called at the end: what was written may still wait in memory.
    """
    _open_what_is_closed()
    before = sys.stdout, sys.stderr
    for stream in before:
        if isinstance(stream, io.TextIOWrapper):  # a name that the terminal's encoding lacks must not end a command
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    output = Output(_buffered(sys.stdout))
    sys.stdout, sys.stderr = output, Log(sys.stderr)
    try:
        yield output
    finally:
        sys.stdout, sys.stderr = before


def _buffered(stream: Any) -> Any:
    """Return a stream that writes all of what it is given: under PYTHONUNBUFFERED, half of it may pass for all."""
    raw = getattr(stream, "buffer", None)
    if not isinstance(raw, io.FileIO):
        return stream
    again = open(raw.fileno(), "wb", closefd=False)  # noqa: SIM115
    return io.TextIOWrapper(again, encoding="utf-8", errors="backslashreplace", line_buffering=raw.isatty())


class Output:
    """Stdout: what is lost is told.

    Raises, at a write or when it is brought to where it goes:
        OutputLost: the disk is full, or the stream is closed.
        SystemExit: the reader has gone: the command ends without a word, as Unix tools do.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write."""
        with self._telling():
            return self._stream.write(text)  # type: ignore[no-any-return]

    def flush(self) -> None:
        """Bring what was written to the system."""
        with self._telling():
            self._stream.flush()

    def deliver(self) -> None:
        """Bring what was written to where it goes: closing tells what a network's disk could not keep."""
        with self._telling():
            self._stream.flush()
            with contextlib.suppress(io.UnsupportedOperation, AttributeError):
                os.close(os.dup(self._stream.fileno()))

    @contextlib.contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            _to_nowhere(self._stream)
            raise SystemExit(NOBODY_READS) from None
        except OSError as error:
            _to_nowhere(self._stream)
            raise OutputLost(
                f"The output could not be written ({reason_of(error)}): what is there is cut off. "
                "Make room, or send it to another place."
            ) from error


class Log:
    """Stderr: a full disk under a log, or a terminal that was closed, ends no training."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write, if it can be."""
        try:
            return self._stream.write(text)  # type: ignore[no-any-return]
        except OSError:
            _to_nowhere(self._stream)
            return len(text)

    def flush(self) -> None:
        """Bring what was written to the system, if it can be."""
        try:
            self._stream.flush()
        except OSError:
            _to_nowhere(self._stream)


def _to_nowhere(stream: Any) -> None:
    """Let a stream's file be the null device: Python tries once more at its end, and would speak of it."""
    with contextlib.suppress(OSError, AttributeError, io.UnsupportedOperation):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def _open_what_is_closed() -> None:
    """Open a standard stream that the caller closed (`>&-`), lest a file gets its number; stdout takes nothing."""
    if None not in (sys.stdin, sys.stdout, sys.stderr):
        return
    while (taken := os.open(os.devnull, os.O_RDONLY)) < 3:
        if taken == 2:
            os.dup2(nowhere := os.open(os.devnull, os.O_WRONLY), 2)
            os.close(nowhere)
    os.close(taken)
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115
