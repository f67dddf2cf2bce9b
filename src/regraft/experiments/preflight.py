"""What can be refused at once, before torch is imported, which takes seconds: paths, names and settings."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from regraft import catalog, methods
from regraft.config import Config, option
from regraft.data import (
    IMAGE_SUFFIXES,
    Labelled,
    Manifest,
    Reading,
    as_source,
    augmentations,
    match_names,
    scan,
)
from regraft.errors import ConfigError, UnknownName
from regraft.experiments import loggers
from regraft.utils.files import named_path


def preflight(
    data: Labelled,
    settings: Mapping[str, Any],
    *,
    backbones: str | Sequence[str] | None = None,
    named: str | Sequence[str] | None = None,
) -> Path:
    """Refuse data that are not there, and settings, methods and networks that nothing goes by; return where data lie.

    Args:
        data: as in `train`; what is in memory is written when all else is right.
        settings: fields of `Config` that the user gave.
        backbones: several networks, as in `compare`.
        named: several methods.

    Raises:
        ConfigError, UnknownName, DataError: with what was meant, probably.
    """
    config = Config.of(**settings)
    augmentations(config.augment)
    loggers.check(config.logger)
    for what, pattern in (("label pattern", config.label_pattern), ("groups", _pattern_of_groups(data, config))):
        match_names([], pattern or "", what)
    for method in [config.method] if named is None else listed(named, "methods"):
        methods.check(method)
    for name in [config.backbone] if backbones is None else listed(backbones, "backbones"):
        if name not in ("available", "families"):
            catalog.check(name)
    source = as_source(data)
    if _is_bare(source):
        scan(source, Reading(**config.reading))  # says what is wrong with it
    return source


def scanned(source: Path, settings: Mapping[str, Any]) -> Scanned | None:
    """Scan data that a target is given for, and refuse one that cannot be meant; None where there is none.

    Raises:
        DataError, UnknownName, ConfigError: as `scan`, and as `check_target`.
    """
    config = Config.of(**settings)
    if not (config.target and config.positive):  # a run that is gone on with may have the other one
        return None
    reading = Reading(**config.reading)
    manifest = scan(source, reading)
    check_target(config, manifest)
    return Scanned(reading, manifest)


class Scanned(NamedTuple):
    """Which pictures there are, read in that way."""

    reading: Reading
    manifest: Manifest


def _pattern_of_groups(data: Labelled, config: Config) -> str | None:
    """Return the groups where they can be nothing but a pattern: a table may have a column of any name."""
    of_folder = isinstance(data, str | os.PathLike) and named_path(data).is_dir()
    return config.groups if of_folder else None


def _is_bare(source: Path) -> bool:
    """Say whether a folder holds no picture anywhere: what is wrong with it is told when it is read."""
    return source.is_dir() and not any(path.suffix.lower() in IMAGE_SUFFIXES for path in source.rglob("*"))


def check_target(config: Config, manifest: Manifest) -> None:
    """Raise where a target cannot be meant: which class is the disease is never guessed.

    Raises:
        ConfigError: more than two classes, or a positive class without a target, or the other way round.
        UnknownName: there is no such class.
    """
    if config.target is None and config.positive is None:
        return
    given = option("positive" if config.target is None else f"target_{config.target[0]}")
    names = manifest.classes
    if len(names) != 2:
        raise ConfigError(
            f"{given} is for two classes; {manifest.root} has {len(names)}: {', '.join(names[:5])}"
            f"{' …' if len(names) > 5 else ''}. Leave it out, or sort the pictures into two folders."
        )
    if config.positive is None:
        raise ConfigError(
            f"{given} needs the class that is looked for: --positive={names[0]} or --positive={names[1]}?"
        )
    if config.positive not in names:
        raise UnknownName("class", config.positive, names)
    if config.target is None:
        raise ConfigError(f"{given} {config.positive} needs a target, such as --target-recall 0.99.")


def listed(given: str | Sequence[str], name: str) -> list[str]:
    """Return names that are given as a list or joined by commas.

    Raises:
        ConfigError: no names, or none at all.
    """
    names = given.split(",") if isinstance(given, str) else given
    if not isinstance(names, Sequence) or not all(isinstance(one, str) for one in names):
        raise ConfigError(f"{name} is {given!r}; expected names, as a list or joined by commas.")
    found = [one.strip() for one in names if one.strip()]
    if not found:
        raise ConfigError(f"--{name} names nothing. Expected names joined by commas; without it there is a default.")
    return found
