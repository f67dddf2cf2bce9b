"""Tell what is wrong with a call at once, as an error of ours: a misspelt name, a value of another kind."""

from __future__ import annotations

import difflib
import functools
import inspect
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from numbers import Integral, Real
from types import NoneType
from typing import Any, NamedTuple, TypeVar, cast

from regraft.errors import ConfigError

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

KINDS: Mapping[str, tuple[type, str]] = {
    "bool": (bool, "True or False"),
    "int": (Integral, "a whole number"),
    "float": (Real, "a number"),
    "str": (str, "text"),
    "os.PathLike[str]": (os.PathLike, "a path"),
    "Sequence[str]": (Sequence, "names, as a list or joined by commas"),
    "None": (NoneType, "None"),
}
"""What an annotation takes, and how it is called; anything else is looked at where it is used."""

MOST_SHOWN, MOST_NAMED = 80, 20  # characters of a value; arguments


class Checks(NamedTuple):
    """What is known of a function's arguments beside their annotations."""

    settings: Collection[str] = ()  # names that it passes on
    least: Mapping[str, float] = {}  # the smallest value, by name
    look_at: Callable[[Mapping[str, Any]], None] | None = None  # raises where a named value cannot be


def checked(checks: Checks) -> Callable[[F], F]:
    """Let a function raise ConfigError for a call that it cannot answer, before it does anything."""

    def decorate(function: F) -> F:
        signature = inspect.signature(function)

        @functools.wraps(function)
        def call(*given: Any, **named: Any) -> Any:
            _refuse_unnamed(function.__name__, signature, given)
            refuse_unknown(function.__name__, signature, named, checks.settings)
            for name, value in signature.bind_partial(*given, **named).arguments.items():
                if name not in checks.settings:
                    _refuse_other_kind(name, value, str(signature.parameters[name].annotation))
                    _refuse_less(name, value, checks.least.get(name))
            if checks.look_at:
                checks.look_at(named)
            return function(*given, **named)

        return cast("F", call)

    return decorate


def named_rightly(kind: type[T]) -> type[T]:
    """Let a class raise ConfigError for a keyword that it does not have."""
    made = kind.__init__
    signature = inspect.signature(made)

    @functools.wraps(made)
    def init(self: T, *given: Any, **named: Any) -> None:
        refuse_unknown(kind.__name__, signature, named, ())
        made(self, *given, **named)

    setattr(kind, "__init__", init)  # noqa: B010  a type checker is to see the class's own
    return kind


def refuse_unknown(what: str, signature: inspect.Signature, named: Collection[str], settings: Collection[str]) -> None:
    """Raise ConfigError for the first name that is neither an argument nor one of the settings; with the nearest."""
    own = [name for name, one in signature.parameters.items() if one.kind in _BY_NAME and name != "self"]
    passes_on = any(one.kind is inspect.Parameter.VAR_KEYWORD for one in signature.parameters.values())
    known = [*own, *settings] if passes_on else own
    for name in named:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=2, cutoff=0.6)
            meant = f" Did you mean {' or '.join(near)}?" if near else ""
            many = passes_on or len(own) > MOST_NAMED
            known_by = "docs/settings.md lists all." if many else f"It takes {', '.join(own)}."
            raise ConfigError(f"{what} has no setting {name!r}.{meant} {known_by}")


_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def _refuse_unnamed(what: str, signature: inspect.Signature, given: Sequence[object]) -> None:
    first = [name for name, one in signature.parameters.items() if one.kind is one.POSITIONAL_OR_KEYWORD]
    if len(given) > len(first):
        raise ConfigError(
            f"{what} takes {' and '.join(first)} without a name, and all else by name: what is "
            f"{_shown(given[len(first)])}? Give it as NAME={_shown(given[len(first)])}."
        )


def _refuse_other_kind(name: str, value: object, annotation: str) -> None:
    kinds = annotation.split(" | ")
    if not all(kind in KINDS for kind in kinds):
        return
    words = [KINDS[kind][1] for kind in kinds if kind != "None"][-1]  # of text or a path: a path
    number_or_truth = isinstance(value, bool) and "bool" not in kinds
    if number_or_truth or not isinstance(value, tuple(KINDS[kind][0] for kind in kinds)):
        raise ConfigError(f"{name} is {_shown(value)}; expected {words}.")
    if value == "" and "os.PathLike[str]" in kinds:
        raise ConfigError(f"{name} is empty; expected a path.")


def _refuse_less(name: str, value: Any, least: float | None) -> None:
    if least is not None and value is not None and not value >= least:
        raise ConfigError(f"{name} is {value}; expected {least} or more.")


def _shown(value: object) -> str:
    said = repr(value)
    return said if len(said) <= MOST_SHOWN else f"{said[:MOST_SHOWN]} …"
