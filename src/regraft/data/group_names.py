"""List the ways in which file names may tell groups of pictures: patients, slides, videos, days, copies.

Each way is a regular expression that `scan` takes as it is. Whether such groups matter is not to be seen from names:
`regraft.grouping` asks the pictures.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from regraft.data.manifest import Manifest
from regraft.data.naming import match_names

LEAST_GROUPS = 3  # of each class: train, val and test need one each
MOST_IN_ONE = 0.5  # of all pictures; a group that holds more is rather "all others"
SHARED = (
    0.5  # of the pictures, at least, have another one in their group: without these there is nothing to keep together
)
SHARED_COPIES = 0.1  # the same where copies were written beside the pictures: of few of these, perhaps
MOST_CLASSES = 10  # that a pattern names
MATCHED = 0.9  # of the names, at least; a name that does not match is a group of its own

SEPARATORS = "_-. #@+~"
WORDS = (
    "patient", "pat", "subject", "subj", "sub", "case", "person", "donor", "animal", "mouse", "slide", "specimen",
    "biopsy", "video", "clip", "seq", "sequence", "scene", "session", "camera", "cam", "site", "plate", "well", "leaf",
    "plant", "tree", "batch",
)  # fmt: skip
"""What people call a source of pictures before its number; not `frame` or `image`, of which each is another."""
PLAIN_WORDS = ("patient", "subject", "donor", "person", "animal", "slide", "video", "clip")
"""Those of them that leave no doubt."""
COPIES = (
    "copy", "kopie", "copie", "copia", "dup", "aug", "rot", "flip", "hflip", "vflip", "mirror", "crop", "zoom", "shift",
    "scale", "bright", "dark", "contrast", "blur", "nois", "gauss", "sharp", "trans", "shear", "color", "colour",
    "gray", "grey", "newpixel",
)  # fmt: skip
"""How the names of copies go on, behind the name of the picture that they were made from."""

_SUFFIX = r"(?:\.\w+)?$"
_DAY = r"(?<!\d)(?:19|20)\d\d[-_.]?(?:0[1-9]|1[0-2])[-_.]?(?:0[1-9]|[12]\d|3[01])"


class Naming(NamedTuple):
    """One way to tell the groups from the names."""

    pattern: str  # what ``--groups`` takes
    groups: list[str]  # of every picture
    said: str  # what in a name tells them, to be read behind "by"
    rank: int  # what sources are usually told by comes first
    in_headers: bool = False  # the pattern is a tag of headers; names tell nothing of it


def namings(manifest: Manifest) -> list[Naming]:
    """Return the ways that would make plausible groups, the usual first; of those that make the same groups one.

    Plausible: at least 3 groups in each class, most pictures not alone in their group, and no group that holds more
    than half of the pictures. A way that makes a class a group tells classes, not sources.
    """
    names = [item.name.rpartition("/")[2] for item in manifest.items]
    found: dict[tuple[int, ...], Naming] = {}
    for rank, said, pattern in _patterns(manifest, names):
        naming = naming_of(pattern, manifest, said, rank)
        shared = SHARED_COPIES if said == _OF_COPIES else SHARED
        if naming and plausible(naming.groups, manifest, shared) and not _tells_a_class(naming.groups, manifest):
            found.setdefault(_partition(naming.groups), naming)
    return list(found.values())


def naming_of(pattern: str, manifest: Manifest, said: str = "", rank: int = 0) -> Naming | None:
    """Return the groups that a pattern makes, with names that it does not match each for itself; None if it cannot."""
    names = [item.name for item in manifest.items]
    groups = match_names(names, pattern, "groups")
    unmatched = sum(not group for group in groups)
    if 0 < unmatched <= (1 - MATCHED) * len(groups) and pattern.startswith("^") and not re.compile(pattern).groups:
        pattern = f"{pattern}|^.+"
        groups = match_names(names, pattern, "groups")
    whole = [group for group in groups if group]
    return Naming(pattern, whole, said, rank) if len(whole) == len(manifest) else None


def plausible(groups: Sequence[str], manifest: Manifest, shared: float = SHARED) -> bool:
    """Say whether pictures could come in these groups, as far as counts tell."""
    sizes, pictures = Counter(groups), Counter(manifest.labels.tolist())
    together = sum(count for count in sizes.values() if count > 1)
    in_classes = Counter(label for label, _ in set(zip(manifest.labels.tolist(), groups, strict=True)))
    return (
        together >= max(2, shared * len(groups))
        and max(sizes.values()) <= MOST_IN_ONE * len(groups)
        and all(in_classes[label] >= min(LEAST_GROUPS, count) for label, count in pictures.items())
    )


def named_as_sources(groups: Sequence[str]) -> bool:
    """Say whether the names of groups themselves speak of patients, slides or videos."""
    word = re.compile(rf"(?i)(?:{'|'.join(PLAIN_WORDS)})[ _-]?\d")
    return all(word.search(group) for group in groups)


def _tells_a_class(groups: Sequence[str], manifest: Manifest) -> bool:
    """Say whether a group is what a class is called, and holds no picture of another: that is no source."""
    called = {_letters(name): label for label, name in enumerate(manifest.classes)}
    labels_of: dict[str, set[int]] = defaultdict(set)
    for group, label in zip(groups, manifest.labels.tolist(), strict=True):
        labels_of[group].add(label)
    return any(labels == {called.get(_letters(group))} for group, labels in labels_of.items() if _letters(group))


def _letters(name: str) -> str:
    bare = re.sub(r"[\W_]", "", name).casefold()
    return "" if bare.isdecimal() else bare


def _partition(groups: Sequence[str]) -> tuple[int, ...]:
    numbers: dict[str, int] = {}  # in the order in which they occur, whatever they are called
    return tuple(numbers.setdefault(group, len(numbers)) for group in groups)


# ---- the ways -------------------------------------------------------------------------------------------------------

_OF_COPIES = "the file names without what is added to those of copies"


def _patterns(manifest: Manifest, names: Sequence[str]) -> Iterator[tuple[int, str, str]]:
    """Yield (rank, said, pattern); which makes sense is judged by the groups that it makes."""
    for rank, said, made in (
        (0, "folders above or below the classes", _folders(manifest)),
        (0, "a numbered word in the file names", _words(names)),
        (0, "what the file names begin with", _beginnings(names)),
        (0, "what stands behind the class in the file names", _behind_classes(manifest.classes)),
        (1, "a part of the file names", _middles(names)),
        (2, _OF_COPIES, _originals(names)),
        (3, "the file names without their last part or number", _without_ends(names)),
        (4, "the day in the file names", [_DAY]),
    ):
        for pattern in made:
            yield rank, said, pattern


def _folders(manifest: Manifest) -> Iterator[str]:
    """Yield a pattern for each folder between the root and the picture that is not the class."""
    parts = [item.name.split("/")[:-1] for item in manifest.items]
    for depth in range(min(8, max(map(len, parts), default=0))):
        here = {folders[depth] for folders in parts if len(folders) > depth}
        if not here <= set(manifest.classes):
            yield "^" + "[^/]*/" * depth + "([^/]+)"


def _words(names: Sequence[str]) -> Iterator[str]:
    """Yield a pattern for each word for a source that is followed by its number."""
    for word, between in sorted(set(_seen(rf"(?i)({'|'.join(WORDS)})([ _-]?)\d", names))):
        yield rf"{word}{between}\d+"


def _beginnings(names: Sequence[str]) -> Iterator[str]:
    """Yield letters with their digits, digits alone, and the first one to four parts between separators."""
    letters = set(_seen(r"^([^\W\d_]+)([ _.-]?)\d", names))
    if len(letters) == 1:
        word, between = next(iter(letters))
        yield rf"^{word}{_literal(between)}\d+"
    yield r"^[^\W\d_]+\d+"
    yield r"^\d+"
    for separator in _separators(names):
        part = f"[^{separator}]+"
        for count in range(1, 5):
            yield "^" + _literal(separator).join([part] * count)


def _behind_classes(classes: Sequence[str]) -> Iterator[str]:
    """Yield a pattern for what the names have behind the class that they begin with: C7 of ``ill_C7_cell_3.png``."""
    if len(classes) <= MOST_CLASSES:
        longest_first = sorted(classes, key=len, reverse=True)
        yield rf"(?i)^(?:{'|'.join(map(re.escape, longest_first))})[\W_]*([^\W\d_]*\d+)(?![^\W_])"


def _middles(names: Sequence[str]) -> Iterator[str]:
    """Yield the second to the fifth part between separators, and the last."""
    for separator in _separators(names):
        part = f"[^{separator}]"
        for before in range(1, 5):
            yield rf"^(?:{part}*{_literal(separator)}){{{before}}}({part}+){_literal(separator)}"
        yield rf"[^{separator}.]+(?={_SUFFIX})"


def _originals(names: Sequence[str]) -> Iterator[str]:
    """Yield the name without what copies have behind it: ``_aug3``, `` (1)``, ``_90deg``, ``.rf.0a1b2c``."""
    words = sorted({word.lower() for word, *_ in _seen(rf"(?i)[ _.-]({'|'.join(COPIES)})[^\W_]*", names)})
    ways = [
        *([rf"[ _.-]+(?i:{'|'.join(words)})[^\W_]*(?:[ _-]?\d+)?"] if words else []),
        *([r" ?\(\d+\)"] if any(_seen(r"\((\d+)\)", names)) else []),
        *([r"[_-]\d+deg"] if any(_seen(r"[_-](\d+)deg", names)) else []),
        *([r"\.rf\.\w+"] if any(_seen(r"\.(rf)\.\w+", names)) else []),
    ]
    if ways:
        yield rf"^.+?(?=(?:{'|'.join(ways)})*{_SUFFIX})"


def _without_ends(names: Sequence[str]) -> Iterator[str]:
    """Yield the name without the number at its end, and without its last one or two parts."""
    yield rf"^.*\D(?=\d+{_SUFFIX})"
    for separator in _separators(names):
        for count in (1, 2):
            yield rf"^.+(?={f'{_literal(separator)}[^{separator}]*' * count}$)"


def _separators(names: Sequence[str]) -> list[str]:
    """Return the separators that most names have before their suffix."""
    stems = [name.rpartition(".")[0] or name for name in names]
    return [one for one in SEPARATORS if sum(one in stem for stem in stems) >= MATCHED * len(stems)]


def _literal(separator: str) -> str:
    return f"\\{separator}" if separator in (".", "+") else separator


def _seen(pattern: str, names: Iterable[str]) -> Iterator[tuple[str, ...]]:
    """Yield what the brackets of a pattern hold, in each name that it is found in."""
    expression = re.compile(pattern)
    return (match.groups() for name in names if (match := expression.search(name)))


# ---- sampling -------------------------------------------------------------------------------------------------------


def in_stretches(count: int, at_most: int, seed: int, *, length: int = 10) -> list[int]:
    """Return the positions of some pictures, drawn in stretches of neighbouring names: groups mostly stay together."""
    if count <= at_most:
        return list(range(count))
    starts = range(0, count, length)
    chosen = np.random.default_rng(seed).choice(len(starts), at_most // length, replace=False)
    stretches = (range(starts[at], min(starts[at] + length, count)) for at in sorted(chosen.tolist()))
    return [at for stretch in stretches for at in stretch]
