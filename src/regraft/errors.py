"""One tree of exceptions: every line says what was found, what was expected and what to do next.

RegraftError                 an error the user can mend: one line, exit status 1
├── DataError                the pictures, the table or the folder; also a ValueError
│   ├── DataMissing          a path that is not there; also a FileNotFoundError
│   ├── NoImages             nothing to learn from
│   ├── BadImage             one file that cannot be read (a run lists it and goes on)
│   ├── TooManyBadImages     more unreadable files than a run accepts
│   └── SplitError           no split with every class in every part and no shared group
├── UnknownName              a name that is not registered; carries the nearest and all known names; also a KeyError and
│                            a ValueError
├── WeightsError             the tensors
│   ├── WeightsMissing       the file is not here and cannot be fetched
│   ├── WeightsMismatch      the file belongs to another network
│   └── ChecksumMismatch     the file is not the one that was written
├── BundleError              a model folder: a part missing, a newer format; also a ValueError
│   └── ModelMissing         no such folder, or none that holds a model; also a FileNotFoundError
├── StoreError               the kept activations
│   ├── CacheFull            no room for them
│   └── ActivationOverflow   a value does not fit the kept number format
├── NotWritten               a file for which the disk has no room; also an OSError
├── OutputLost               stdout that takes no more: a full disk behind `>`
├── RunError                 a run folder: finished, of other settings, not writable
│   └── RunMissing           no run there; also a FileNotFoundError
├── ConfigError              settings that contradict each other or lie outside their range; also a ValueError
├── ExportError          a file for other programs that cannot be made, or does not answer as its model does
├── TargetMissed             no threshold reaches the recall, precision or specificity that was asked for
└── MissingExtra             an optional package; the line gives the pip command
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar


class RegraftError(Exception):
    """Anything the user can mend. The message is one line: found, expected, next step."""

    def __str__(self) -> str:
        return as_called(str(self.args[0])) if self.args else ""


class RegraftWarning(UserWarning):
    """What was left out, or misleads, where nothing else hears of it."""


class DataError(RegraftError, ValueError):
    """Something about the pictures, the table or the folder."""


class DataMissing(DataError, FileNotFoundError):
    """There is no such file or folder."""


class NoImages(DataError):
    """The folder or table holds nothing to learn from."""


class BadImage(DataError):
    """One file that cannot be read as a picture."""


class TooManyBadImages(DataError):
    """More unreadable files than a run accepts without ``--allow-bad``."""


class SplitError(DataError):
    """The pictures cannot be split as asked."""


class UnknownName(RegraftError, ValueError, KeyError):
    """A name that is not registered.

    The message ends with the nearest known names and, when the list is short, all of them; a misspelt name is
    never replaced behind the user's back.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str], hint: str = "") -> None:
        names = sorted(known)
        near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
        meant = f" Did you mean {' or '.join(near)}?" if near else ""
        listed = f" Known: {', '.join(names)}." if len(names) <= 40 else f" {len(names)} names are known."
        super().__init__(f"Unknown {kind} {name!r}.{meant}{listed}{' ' + hint if hint else ''}")
        self.name: str = name
        self.nearest: list[str] = near
        self.known: list[str] = names


class WeightsError(RegraftError):
    """Something about a file of tensors."""


class WeightsMissing(WeightsError):
    """The weights are not on this machine and cannot be fetched now."""


class WeightsMismatch(WeightsError):
    """The tensors belong to another network."""


class ChecksumMismatch(WeightsError):
    """The bytes are not those that were written."""


class BundleError(RegraftError, ValueError):
    """A model folder that cannot be used."""


class ModelMissing(BundleError, FileNotFoundError):
    """There is no model where one was expected."""


class StoreError(RegraftError):
    """Something about the kept activations."""


class CacheFull(StoreError):
    """No room for the activations; says how many GB are needed and how many are free."""


class ActivationOverflow(StoreError):
    """A value that the kept number format cannot hold."""


class NotWritten(RegraftError, OSError):
    """A file for which there is no room; has `errno`, `strerror` and `filename` as the system's own error."""

    def __init__(self, path: os.PathLike[str] | str, number: int, more: str = "") -> None:
        said = f"{os.fspath(path)} could not be written: {os.strerror(number)}."
        super().__init__(f"{said} Make room there, or name a place on another disk.{more}")
        self.errno, self.strerror, self.filename = number, os.strerror(number), os.fspath(path)
        self.number = number

    def then(self, step: str) -> NotWritten:
        """Return it with what to do when there is room again."""
        return NotWritten(self.filename, self.number, f" {step}")


class OutputLost(RegraftError):
    """What was written to stdout did not arrive."""


class RunError(RegraftError):
    """A run folder that cannot be used."""


class RunMissing(RunError, FileNotFoundError):
    """There is no run where one was expected."""


class ConfigError(RegraftError, ValueError):
    """Settings that contradict each other or lie outside their range."""


class ExportError(RegraftError):
    """A file for other programs that cannot be made, or does not answer as its model does."""


class TargetMissed(RegraftError):
    """No threshold reaches the recall, precision or specificity that was asked for."""


class MissingExtra(RegraftError):
    """An optional package is not installed."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs the package {package}, which is not installed: pip install 'regraft[{extra}]'"
        )


MOST_SAID = 300
"""Characters of a reason: a file may hold a name of any length, and an error is one line."""


def reason_of(error: BaseException | str) -> str:
    """Return why in words: ``No such file or directory``, without the system's number and the path beside it."""
    if isinstance(error, KeyError) and not isinstance(error, RegraftError):
        return f"{error.args[0]!r} is missing"
    said = str(getattr(error, "strerror", None) or error)
    return said if len(said) <= MOST_SAID else said[:MOST_SAID] + " …"


# ---- whom it is told -------------------------------------------------------------------------------------------------

_on_command_line: ContextVar[bool] = ContextVar("on_command_line", default=False)

OTHER_KEYWORDS: Mapping[str, str] = {
    "allow-bad": "allow_bad=True",
    "budget": "budget_s",
    "from": "from_run",
    "known-only": "known_only=True",
    "no-pool": "pool=False",
    "resume": "resume=True",
}
"""Options that are not called as their keywords are, or that take no value."""

_WORD = r"[^\s;,?()]*[^\s;,:.?()]"
_SAID = re.compile(
    rf"(?P<command>\b(?:regraft|pip install)(?: (?:'[^']*'|{_WORD}))+)"
    r"|(?<![\w'\"/-])--(?P<name>[a-z]+(?:-[a-z]+)*)"
    r"(?:[ =](?P<given>'[^']*'|[A-Z]{2,}(?::[A-Z]{2,})?\b)"  # quoted, or what stands for any
    rf"|=(?P<sure>{_WORD})(?!\S*\w)| (?P<number>[\d.,:]*\d(?![\w/])|(?=\S*[\d/]){_WORD}(?!\S*\w))"
    rf"| (?!or\b|and\b)(?P<last>{_WORD})(?=[.?;:,)]+(?:\s|$)|$| \(| --)| (?=is\b)(?P<verb>))?"
)


@contextmanager
def told_by_options() -> Iterator[None]:
    """Let messages name options, as ``--groups``: they are for the command line."""
    before = _on_command_line.set(True)
    try:
        yield
    finally:
        _on_command_line.reset(before)


def as_called(text: str) -> str:
    """Return a message that names options with keywords in their place, unless it is for the command line.

    ``--label-column NAME`` becomes ``label_column=NAME``. A word behind an option is its value behind ``=``, with a
    digit or a slash in it, or where the clause ends with it; a whole command stays what is typed in a shell.
    """
    return text if _on_command_line.get() else _SAID.sub(_by_keyword, text)


def _by_keyword(found: re.Match[str]) -> str:
    if found["command"]:
        return found["command"]
    keyword = OTHER_KEYWORDS.get(found["name"], found["name"].replace("-", "_"))
    if found["given"]:
        return f"{keyword}={found['given']}"
    if value := found["sure"] or found["number"] or found["last"]:
        return f"{keyword}={value if _NUMBER.fullmatch(value) else repr(value)}"
    return f"{keyword} " if found["verb"] is not None else keyword if "=" in keyword else f"{keyword}="


_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
