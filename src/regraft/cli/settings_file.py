"""Settings file (YAML, JSON, a run's config.json) -> settings, as if they had been given as options."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_type_hints

from regraft.config import ABOUT, EXCLUSIVE, Config, changed, from_folder, option
from regraft.errors import ConfigError, UnknownName, reason_of
from regraft.utils import records
from regraft.utils.streams import say_aside

HINTS: Mapping[str, Any] = get_type_hints(Config)
OF_COMMANDS = ("out", "resume", "report", "verbose", "json")
"""What a command takes for itself, and no settings have."""
NOTHING = (None, "", "null", "~")  # what YAML calls so: the setting is not given


def beside(path: Path, requested: Mapping[str, Any], taken: Collection[str]) -> dict[str, Any]:
    """Return a file's settings with those `requested` as options, which win; a command makes use of those `taken` only.

    Raises:
        ConfigError: the file cannot be read, or holds a value of another kind.
        UnknownName: it holds a setting that there is none of; the nearest is named.
    """
    found = read(path)
    if idle := sorted(found.keys() - taken):
        say_aside(f"Note: {path} sets {', '.join(map(option, idle))}, which this command makes no use of.")
    contradicted = {one for pair in EXCLUSIVE for one, other in (pair, pair[::-1]) if other in requested}
    kept = {name: value for name, value in found.items() if name in taken and name not in contradicted}
    return {**kept, **requested}


def data_of(path: Path) -> Path | None:
    """Return the data that a file names, of a run those that it was trained on; None where it names none.

    Raises:
        ConfigError: as `beside`.
    """
    content = _content(path)
    found = content.get("data")
    if not isinstance(found, str):
        return None
    there = Path(str(content.get("working_folder", ""))) / found
    return there if there.exists() else Path(found)


def read(path: Path) -> dict[str, Any]:
    """Return the settings that a file gives, by their names as keywords.

    Of what a run has written they are those that differ from the defaults: all others were not asked for.

    Raises:
        ConfigError, UnknownName: as `beside`.
    """
    content = _content(path)
    written = content.get("settings")
    values = written if isinstance(written, dict) else content
    values = {_keyword(str(name)): value for name, value in values.items() if name != "data"}
    values = {_named(name, path): value for name, value in values.items()}
    found = {name: _value(name, value, path) for name, value in values.items() if value not in NOTHING}
    if isinstance(written, dict):
        folder = Path(str(content.get("working_folder", "")))
        found = {name: from_folder(folder, name, value) for name, value in changed(found).items()}
    return found


def _content(path: Path) -> dict[Any, Any]:
    """Read a file of names and values; of YAML all values are text, so that ``on`` is no truth and 1:30 no number."""
    import yaml

    if path.is_dir():
        own = f": {path / 'config.json'}" if (path / "config.json").is_file() else ""
        raise ConfigError(f"--config {path} is a folder. Expected a file of settings{own}.")
    try:
        if path.suffix.lower() == ".json":
            content = records.read_json(path)
        else:
            content = yaml.load(path.read_text(encoding="utf-8"), yaml.BaseLoader)
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        raise ConfigError(f"--config {path} cannot be read: {_first_line(error)}.") from error
    if not isinstance(content, dict):
        raise ConfigError(f"--config {path} holds no settings. Expected lines such as 'epochs: 20', or their JSON.")
    return content


def _first_line(error: BaseException) -> str:
    return re.sub(r"\s+", " ", reason_of(error) if isinstance(error, OSError) else str(error)).rstrip(".")


def _named(name: str, path: Path) -> str:
    """Return the keyword of a setting that is written as keyword or as option."""
    names = {keyword: keyword for keyword in ABOUT}
    for keyword, about in ABOUT.items():
        names |= {_keyword(flag): keyword for flag in (option(keyword), about.also) if flag}
    if name in OF_COMMANDS:
        raise ConfigError(
            f"{path} gives {name!r}, which is no setting: give it on the command line. Leave it out there."
        )
    if name not in names:
        raise UnknownName("setting", name, names, f"It stands in {path}.")
    return names[name]


def _keyword(flag: str) -> str:
    return flag.lstrip("-").replace("-", "_")


def _value(name: str, value: Any, path: Path) -> Any:
    """Return a value as the kind that the setting has: text is read as it would be behind an option."""
    hint = HINTS[name]
    kind = next(kind for kind in (get_args(hint) if isinstance(hint, UnionType) else (hint,)) if kind is not type(None))
    if isinstance(value, list) and kind is str:
        value = ABOUT[name].separator.join(map(str, value))
    try:
        return READERS[kind](value)
    except (KeyError, TypeError, ValueError):
        raise ConfigError(f"--config {path}: {name} is {value!r}; expected {EXPECTED[kind]}.") from None


def _text(value: Any) -> str:
    if isinstance(value, dict | list | bool):
        raise TypeError
    return str(value)


def _whole(value: Any) -> int:
    if isinstance(value, bool) or (isinstance(value, float) and not value.is_integer()):
        raise TypeError
    return int(value)


def _number(value: Any) -> float:
    if isinstance(value, bool):
        raise TypeError
    return float(value)


def _truth(value: Any) -> bool:
    return {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}[str(value).lower()]


READERS = {str: _text, Path: lambda value: Path(_text(value)), int: _whole, float: _number, bool: _truth}
EXPECTED = {str: "text", Path: "a path", int: "a whole number", float: "a number", bool: "true or false"}
