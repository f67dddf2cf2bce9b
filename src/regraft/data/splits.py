"""Split a manifest -> the same items, each in train, val or test: stratified, seeded, whole groups."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from regraft.data.columns import Columns, filled, read_columns, require
from regraft.data.manifest import Manifest
from regraft.data.part_columns import PART_COLUMNS, read_parts
from regraft.data.rows import name_some, settle_parts
from regraft.errors import ConfigError, SplitError
from regraft.utils import files

NAME_COLUMNS = ("filename", "file", "path", "name")
FOLDS, FOLDINGS = 20, 3
"""Into how many stratified folds whole groups are put at most, and how often: of small folds any part can be made."""
DRAWS = 50
"""How many random choices among the folds are compared."""
FOLD_DRAWS = 10
"""How often whole groups are put into the folds of a cross-validation until every class is in each."""
NEAR = 0.03
"""A choice this near to what was asked, as a fraction of each class in each part, ends the search."""

Parts = NDArray[np.int64]
"""The part of every picture or group: 0 is train, 1, 2 the held-out parts in the order asked."""


def split(manifest: Manifest, *, val: float = 0.15, test: float = 0.15, seed: int = 0) -> Manifest:
    """Return the manifest with every part set.

    Parts that are given stay; what is missing is held out of train, as a fraction of the train pictures. The choice
    is stratified by class. Where the items carry groups, whole groups are held out: two pictures of one patient
    must not face each other. A fraction of 0 asks for no such part.

    Raises:
        SplitError: Not every class can be in every part that is held out, or a group lies in two given parts.
        ConfigError: Fractions that leave nothing to train on.
    """
    if min(val, test) < 0 or val + test >= 1:
        raise ConfigError(f"val {val:g} and test {test:g} must not be negative and must leave pictures to train on.")
    parts = np.array([item.part or "train" for item in manifest.items], dtype=object)
    _check_groups(manifest, parts)
    wanted = {"test": test, "val": val}
    held_out = {part: fraction for part, fraction in wanted.items() if fraction and part not in parts}
    if held_out:
        pool = np.flatnonzero(parts == "train")
        choose = _choose_groups if manifest.groups else _choose_pictures
        chosen = choose(manifest.keep(pool), held_out, np.random.RandomState(seed))
        parts[pool] = np.array(["train", *held_out], dtype=object)[chosen]
    return manifest.with_parts(parts.tolist())


def folds(
    manifest: Manifest, count: int, *, val: float = 0.15, seed: int = 0, every_class: bool = True
) -> list[Manifest]:
    """Return `count` manifests; each picture is in the test part of exactly one of them.

    Stratified by class, whole groups where there are groups; of what is not tested, `val` is held out as in `split`.
    Parts that are given do not count: cross-validation makes its own. With `every_class`, each class is in each test
    part too: a fold's figures are to mean the same as another's.

    Raises:
        SplitError: A class has too few pictures, or groups, for so many folds.
    """
    free = manifest.with_parts([None] * len(manifest))
    _check_foldable(free, count)
    for draw in range(FOLD_DRAWS if free.groups else 1):  # of single pictures, every draw has every class in each fold
        try:
            tested = _tested(free, count, seed + draw, every_class)
            return [split(fold, val=val, test=0.0, seed=seed) for fold in tested]
        except SplitError as error:
            refused = error
    raise refused


def _tested(free: Manifest, count: int, seed: int, every_class: bool) -> list[Manifest]:
    """Return a manifest for each fold, with its test part only."""
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    folding = StratifiedGroupKFold if free.groups else StratifiedKFold
    parts = folding(count, shuffle=True, random_state=seed).split(free.labels, free.labels, free.groups)
    tested = [set(inside.tolist()) for _, inside in parts]
    made = [free.with_parts(["test" if at in inside else None for at in range(len(free))]) for inside in tested]
    absent = [name for fold in made for name, found in fold.counts("test").items() if not found]
    if every_class and absent:
        raise SplitError(
            f"In {FOLD_DRAWS} draws no {count} folds of whole groups had every class in each; {absent[0]!r} was "
            "missing in one. Ask for fewer folds, or add groups that have it."
        )
    return made


def folds_at_most(manifest: Manifest, count: int, *, seed: int = 0) -> list[Manifest]:
    """Return `folds`, fewer where a class has too few pictures or groups for `count`, but at least 3.

    Raises:
        SplitError: Not even 3 can be made.
    """
    for fewer in range(count, 3, -1):
        with contextlib.suppress(SplitError):
            return folds(manifest, fewer, seed=seed, every_class=False)
    return folds(manifest, 3, seed=seed, every_class=False)


def _check_foldable(manifest: Manifest, count: int) -> None:
    members = manifest.groups or [str(at) for at in range(len(manifest))]
    what = "groups" if manifest.groups else "pictures"
    for label, name in enumerate(manifest.classes):
        found = len({member for member, one in zip(members, manifest.labels, strict=True) if one == label})
        if found < count:
            raise SplitError(f"The class {name!r} has {found} {what}; {count} folds need at least {count}.")


def split_from(manifest: Manifest, source: Path) -> Manifest:
    """Return the manifest with the parts of an earlier run's folder, or of a table with a name and a split column.

    A run's parts are taken as they are; what it could not read has none, unless its group has one. A table with train
    and val only gives train and test, as everywhere: `split` then holds a new val out of train.

    Raises:
        SplitError: No such folder or table; a picture is not listed, or listed in two parts; a group lies in two parts.
        DataError: The table cannot be read.
    """
    if not source.exists():
        raise SplitError(f"{source} does not exist. Expected a run folder, or a table with a file and a split column.")
    if (source / "fold-1").is_dir():
        raise SplitError(
            f"{source} is a cross-validation: each fold has parts of its own. Name one: {source / 'fold-1'}"
        )
    table = source / "split.csv" if source.is_dir() else source
    columns = _columns_of_run(table) or read_columns(table)
    names = filled(table, columns, require(table, columns, "name", NAME_COLUMNS))
    given = read_parts(table, columns, require(table, columns, "split", PART_COLUMNS))
    listed, notices = (list(given), []) if source.is_dir() else settle_parts(given, table)
    part_of = dict(zip(names, listed, strict=True))
    if torn := [name for name, part in zip(names, listed, strict=True) if part_of[name] != part]:
        raise SplitError(f"{table} lists {len(torn)} pictures in two parts: {name_some(torn)}.")
    part_of |= _parts_of_unread(manifest, source, part_of)
    known = [item.name for item in manifest.items]
    if unlisted := [name for name in known if name not in part_of]:
        raise SplitError(
            f"{len(unlisted)} of {len(known)} pictures are not listed in {table}: {name_some(unlisted)}. "
            f"Names are relative to {manifest.root}."
        )
    if gone := sorted(part_of.keys() - set(known)):
        notices.append(f"{len(gone)} pictures listed in {table} are not among the data: {name_some(gone)}.")
    parts = [part_of[name] for name in known]
    _check_groups(manifest, parts)
    return replace(manifest.with_parts(parts), notices=(*manifest.notices, *notices))


SPLIT_COLUMNS = ("filename", "label", "group", "split", "digest")


def _columns_of_run(table: Path) -> Columns:
    """Return the columns of a split.csv, each name as it is; nothing where no run has written the table.

    People's tables are read with tolerance; a file name may begin with a space, or hold a carriage return.
    """
    if table.name != "split.csv" or not table.is_file():
        return {}
    rows = files.read_csv(table)
    return (
        {name: [row[name] for row in rows] for name in SPLIT_COLUMNS}
        if rows and set(SPLIT_COLUMNS) <= rows[0].keys()
        else {}
    )


def _parts_of_unread(manifest: Manifest, run: Path, part_of: Mapping[str, str | None]) -> dict[str, str | None]:
    """Return the part of each picture that an earlier run left out: that of its group, else None."""
    left_out = {row["filename"] for row in files.read_csv(run / "skipped.csv", ["filename"])} - part_of.keys()
    of_group = {item.group: part_of[item.name] for item in manifest.items if item.group and item.name in part_of}
    return {item.name: of_group.get(item.group or "") for item in manifest.items if item.name in left_out}


def write_split(manifest: Manifest, path: Path, digests: Sequence[str] | None = None) -> None:
    """Write filename, label (by name), group, split and content digest of every picture, whole or not at all."""
    rows = [
        (item.name, manifest.classes[item.label], item.group or "", item.part or "", digest)
        for item, digest in zip(manifest.items, digests or [""] * len(manifest), strict=True)
    ]
    files.write_csv(path, SPLIT_COLUMNS, rows)


def other_pictures(digests: Mapping[str, object], table: Path) -> dict[str, list[str]]:
    """Return the names of pictures that are not as a run's split.csv has them: changed, missing or new.

    `digests` are those of now, by name. One that is no text, since it is yet to be read or cannot be, changes nothing.
    """
    kept = {row["filename"]: row.get("digest", "") for row in files.read_csv(table, needed=["filename"])}
    changed = [
        name
        for name, found in digests.items()
        if isinstance(found, str) and found and kept.get(name) not in (found, "", None)
    ]
    others = {
        "changed": changed,
        "missing": [name for name in kept if name not in digests],
        "new": [name for name in digests if name not in kept],
    }
    return {what: names for what, names in others.items() if names}


def learned_digests(table: Path) -> set[str]:
    """Return the digests of the pictures that a run's split.csv has in train or val; none where it names no digests."""
    rows = files.read_csv(table, needed=["split"])
    return {digest for row in rows if (digest := row.get("digest")) and row["split"] != "test"}


def _check_groups(manifest: Manifest, parts: Sequence[str | None] | NDArray[np.object_]) -> None:
    first: dict[str, str | None] = {}
    for group, part in zip(manifest.groups or (), parts, strict=False):
        if first.setdefault(group, part) != part:
            raise SplitError(
                f"The group {group!r} has pictures in {first[group]} and in {part}: "
                "its pictures would be recognised, not classified. Put each group into one part."
            )


def _choose_pictures(pool: Manifest, held_out: Mapping[str, float], random: np.random.RandomState) -> Parts:
    """Return the part of every picture: of every class the same fraction, and at least one picture."""
    from sklearn.model_selection import train_test_split

    counts = np.array(list(pool.counts().values()))
    _check_enough(pool, counts, "pictures", held_out)
    labels, parts = pool.labels, np.zeros(len(pool), np.int64)
    for part, fraction in enumerate(held_out.values(), start=1):
        free, share = np.flatnonzero(parts == 0), fraction * counts
        total = int(np.clip(round(share.sum()), len(counts), len(free) - len(counts)))  # scikit-learn's own bounds
        rest, drawn = train_test_split(free, test_size=total, stratify=labels[free], random_state=random)
        # Of a rare class all or none may have been drawn: each part, train among them, is to have one picture of it.
        sizes = _per_class(labels[drawn], pool).clip(np.floor(share).clip(1), np.ceil(share)).astype(int)
        sizes = np.minimum(sizes, _per_class(labels[free], pool) - (len(held_out) - part + 1))
        in_order = np.concatenate([drawn, rest])
        for label, size in enumerate(sizes):
            parts[in_order[labels[in_order] == label][:size]] = part
    return parts


def _per_class(labels: NDArray[np.int64], pool: Manifest) -> NDArray[np.int64]:
    return np.bincount(labels, minlength=len(pool.classes))


def _choose_groups(pool: Manifest, held_out: Mapping[str, float], random: np.random.RandomState) -> Parts:
    """Return the part of every picture: some of many stratified folds of whole groups, as near to the shares as can be.

    One fold for each part would not do: folds come in fractions of 1/2, 1/3, 1/4 …, and where groups differ in size
    they hardly depend on the seed. Which folds are taken does.
    """
    names, group_of = np.unique(np.array(pool.groups), return_inverse=True)
    groups_of_class = np.count_nonzero(_counts(group_of, pool), axis=0)
    _check_enough(pool, groups_of_class, "groups", held_out)
    fractions = tuple(held_out.values())
    nearest, best = np.inf, np.zeros(len(pool), np.int64)
    for fold_of in _foldings(pool.labels, group_of, min(FOLDS, *groups_of_class.tolist()), random):
        counts = _counts(fold_of, pool)
        distance, part_of = min((_draw(counts, fractions, random) for _ in range(DRAWS)), key=lambda drawn: drawn[0])
        if distance < nearest:
            nearest, best = distance, part_of[fold_of]
        if nearest <= NEAR:
            break
    if nearest == np.inf:
        rarest = int(groups_of_class.argmin())
        raise SplitError(
            f"In {DRAWS} draws no choice of whole groups brought every class into {_listed(held_out)}. The class "
            f"{pool.classes[rarest]!r} lies in {groups_of_class[rarest]} of {len(names)} groups; more are needed."
        )
    return best


def _foldings(
    labels: NDArray[np.int64], group_of: NDArray[np.int64], folds: int, random: np.random.RandomState
) -> Iterator[NDArray[np.int64]]:
    """Yield the fold of every picture, each time with another seed, and at last every group as a fold of its own.

    These finest folds serve where groups are few or a class is rare: a large fold would bring too much of the other
    classes with it.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    for _ in range(FOLDINGS):
        fold_of = np.zeros_like(group_of)
        folding = StratifiedGroupKFold(folds, shuffle=True, random_state=random)
        for fold, (_, inside) in enumerate(folding.split(labels, labels, group_of)):
            fold_of[inside] = fold
        yield fold_of
    yield group_of


def _counts(fold_of: NDArray[np.int64], pool: Manifest) -> NDArray[np.int64]:
    counts = np.zeros((fold_of.max() + 1, len(pool.classes)), np.int64)  # pictures [folds, classes]
    np.add.at(counts, (fold_of, pool.labels), 1)
    return counts


def _draw(counts: NDArray[np.int64], fractions: Sequence[float], random: np.random.RandomState) -> tuple[float, Parts]:
    """Draw the part of every fold, from the pictures [folds, classes]; return (mean distance from the shares, parts).

    The distance is infinite when a class is missing somewhere. In random order, each fold is taken that brings the part
    nearer to its share of every class. Classes weigh the same, however rare.
    """
    total = counts.sum(axis=0)  # [classes]
    parts, distances = np.zeros(len(counts), np.int64), []
    for part, fraction in enumerate(fractions, start=1):
        free = np.flatnonzero(parts == 0)
        smallest = np.where(counts[free] > 0, counts[free], total).min(axis=0)
        share = np.maximum(fraction * total, smallest)  # one fold at least, where that is more
        held, distance = np.zeros_like(total), 1.0
        for fold in random.permutation(free):
            nearer = float(np.abs((held + counts[fold]) / share - 1).mean())
            if nearer < distance:
                held, distance, parts[fold] = held + counts[fold], nearer, part
        distances.append(float(np.abs(held / np.maximum(fraction * total, 1) - 1).mean()))
    everywhere = all(counts[parts == part].any(axis=0).all() for part in range(len(fractions) + 1))
    return (float(np.mean(distances)) if everywhere else np.inf), parts


def _check_enough(pool: Manifest, counts: NDArray[np.int64], what: str, held_out: Mapping[str, float]) -> None:
    rarest, needed = int(counts.argmin()), len(held_out) + 1
    if counts[rarest] < needed:
        raise SplitError(
            f"The class {pool.classes[rarest]!r} has {counts[rarest]} {what}; at least {needed} are needed, "
            f"one each for {_listed(held_out)}. Add some, or give the parts yourself."
        )


def _listed(held_out: Mapping[str, float]) -> str:
    return " and ".join(", ".join(["train", *held_out]).rsplit(", ", 1))
