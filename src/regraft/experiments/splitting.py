"""A manifest and the settings -> its splits: parts that were given, drawn ones, or folds; and what to know of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from regraft.config import Config, option
from regraft.data import PARTS, Manifest, into_folds, split_from
from regraft.data import split as into_parts
from regraft.errors import ConfigError, DataError
from regraft.metrics.intervals import few_to_test


def split(manifest: Manifest, config: Config, begun: Path | None = None) -> list[Manifest]:
    """Return the manifest once for each split: one, or one for each fold.

    `begun` is the folder of a run that goes on: then its parts are taken.

    Raises:
        SplitError, DataError: no split as asked, or one without a class in train.
    """
    if begun is not None:
        return [_parts(split_from(manifest, folder), config) for folder in folders(begun, config)]
    if config.folds:
        return into_folds(manifest, config.folds, val=config.val, seed=config.seed)
    return [_parts(split_from(manifest, config.split_from) if config.split_from else manifest, config)]


def folders(run: Path, config: Config) -> list[Path]:
    """Return the folder of each split's run: the run's own, or those of its folds."""
    return [run / f"fold-{number}" for number in range(1, config.folds + 1)] if config.folds else [run]


def fold_numbers(splits: Sequence[Manifest]) -> np.ndarray:
    """Return the fold that tests each picture, [n], from 1."""
    numbers = np.zeros(len(splits[0]), np.int64)
    for number, parts in enumerate(splits, start=1):
        numbers[parts.part("test")] = number
    return numbers


def named_folds(splits: Sequence[Manifest]) -> list[str]:
    """Return the name of the fold that tests each picture."""
    return [f"fold {number}" for number in fold_numbers(splits)]


def _parts(requested: Manifest, config: Config) -> Manifest:
    parts = into_parts(requested, val=config.val, test=config.test, seed=config.seed)
    refuse_absent(parts, config)
    return parts


def refuse_absent(parts: Manifest, config: Config) -> None:
    """Raise where a class cannot be learned, or no threshold fitted: unreadable files may have been all it had there.

    Raises:
        DataError: it has no picture in train, or in val where there is a target.
    """
    if absent := [name for name, count in parts.counts("train").items() if not count]:
        raise DataError(
            f"The class {absent[0]!r} has no picture in train that can be read: it cannot be learned. "
            "Add pictures to train, or remove the class."
        )
    if config.target and (absent := [name for name, count in parts.counts("val").items() if not count]):
        raise DataError(
            f"The class {absent[0]!r} has no picture in val: a threshold is fitted there and needs both classes. "
            "Add pictures to val, or remove that part so that one is drawn."
        )


def notices(manifest: Manifest, config: Config, requested: Mapping[str, Any]) -> list[str]:
    """Return a sentence on each share that the user gave of a part that is there already.

    Raises:
        ConfigError: a test part is asked for beside folds, which make one of every picture: which of them was meant?
        DataError: the data have parts beside folds.
    """
    if config.folds:
        _refuse_parts(manifest, requested)
        return []
    shares = {"val", "test"} & requested.keys()
    parted = split_from(manifest, config.split_from) if shares and config.split_from else manifest
    idle = [part for part in sorted(shares) if len(parted.part(part))]
    of = config.split_from or manifest.root
    return [f"{option(part)} has no effect: {of} has a {part} part of its own." for part in idle]


def _refuse_parts(manifest: Manifest, requested: Mapping[str, Any]) -> None:
    if "test" in requested:
        raise ConfigError("--folds and --test contradict each other: with folds, each picture is tested once.")
    parts = [part for part in PARTS if len(manifest.part(part))]
    if parts:
        raise DataError(
            f"{manifest.root} has parts of its own ({', '.join(parts)}), and --folds makes others. Leave out --folds, "
            "or give pictures without parts, such as the folder of the training pictures alone."
        )


def few_tested(splits: Sequence[Manifest], manifest: Manifest, config: Config) -> list[str]:
    """Return a sentence where a test part that is drawn from the manifest has few groups: folds would test them all."""
    groups = manifest.groups
    drawn = not (config.folds or config.split_from or len(manifest.part("test")))
    if not groups or not drawn or len(set(groups)) == len(groups):
        return []
    return few_to_test(len({groups[index] for index in splits[0].part("test")}), len(set(groups)))
