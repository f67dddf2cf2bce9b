"""JSON file -> values of the expected types: what a stranger or a failing disk has written is refused on reading."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec

LARGEST_BYTES = 100 << 20
"""Larger files are not read: Python needs twenty times the memory. A confusion matrix of 4,000 classes takes that."""

Above0 = Annotated[float, msgspec.Meta(gt=0)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
Seconds = Annotated[float, msgspec.Meta(ge=0, le=1e12)]

T = TypeVar("T")


def read_json(path: Path) -> Any:
    """Read any JSON value; a number that is infinite or none, which JSON does not know, is None.

    Raises:
        ValueError, OSError: says why it cannot be read.
    """
    if path.exists() and not path.is_file():
        raise ValueError("it is no file")
    with path.open("rb") as file:
        content = file.read(LARGEST_BYTES + 1)
    if len(content) > LARGEST_BYTES:
        raise ValueError(f"it is larger than {LARGEST_BYTES >> 20} MB")
    try:
        return json.loads(content.decode(), parse_constant=_finite, parse_float=_finite)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _finite(number: str) -> float | None:
    value = float(number)
    return value if math.isfinite(value) else None


def to_json(values: Any) -> bytes:
    """Return the text of a JSON value, for people to read as well; what is no finite number becomes null.

    The bytes of a file name that are no text are written as JSON writes such characters, and come back as they were.
    """
    text = json.dumps(_known(values), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    return text.encode(errors="backslashreplace")


def _known(values: Any) -> Any:
    if isinstance(values, dict):
        return {name: _known(value) for name, value in values.items()}
    if isinstance(values, list | tuple):
        return [_known(value) for value in values]
    return None if isinstance(values, float) and not math.isfinite(values) else values


def fitted(values: Any, kind: type[T], what: str = "", *, others: bool = False) -> T:
    """Return JSON values as `kind`: a dataclass or any type; ``Annotated`` fields give ranges.

    Text is not taken for a number, nor is true, and a whole number is not rounded. An entry that a dataclass does not
    know is refused, as another version may mean something by it; with `others` it is passed over.

    Raises:
        ValueError: says where, and what was expected; `what` names the whole.
    """
    try:
        found = msgspec.convert(values, kind, dec_hook=_from_text)
    except msgspec.ValidationError as error:
        raise ValueError(_in_words(str(error), what)) from None
    except OverflowError:
        raise ValueError(f"{what or 'it'} holds a number that is too large") from None
    known = {field.name for field in dataclasses.fields(kind)} if dataclasses.is_dataclass(kind) else None
    if known is not None and not others and (unknown := sorted(values.keys() - known)):
        raise ValueError(f"{what or 'it'} has an unknown entry {unknown[0]!r}")
    return found


def _from_text(kind: type[Any], value: Any) -> Any:
    if not isinstance(value, str):
        raise TypeError(f"Expected text, got {type(value).__name__}")
    return kind(value)


def _in_words(error: str, what: str) -> str:
    """``Expected `int`, got `str` - at `$.width``` -> head.width: expected int, got str."""
    expected, _, place = error.partition(" - at `$")
    where = (what + place.rstrip("`")).lstrip(".")
    said = expected[:1].lower() + expected[1:].replace("`", "")
    return f"{where}: {said}" if where else said
