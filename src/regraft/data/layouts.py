"""Tell classes, parts and copies apart by the names of folders and what lies below -> the class of each picture."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from regraft.data.masks import MASK_FOLDERS, PICTURE_FOLDERS
from regraft.data.rows import PART_NAMES, name_some, part_called
from regraft.errors import DataError

COMPARED = 25  # pairs of files that are read to know a copy: of equal size and name all of them are
MOSTLY = 0.5
NO_CLASSES = MASK_FOLDERS | PICTURE_FOLDERS
"""What folders of a data set for another task are called: `images` beside `masks` are no two classes."""


class Level(NamedTuple):
    """What lies directly below one folder, whose path is `prefix`: folders that hold pictures, and single pictures."""

    prefix: str  # "" or "archive/train/"
    folders: dict[str, list[str]]  # folder -> the full names of all pictures below it
    loose: list[str]

    @property
    def names(self) -> frozenset[str]:
        """The folders' names, without case."""
        return frozenset(map(str.casefold, self.folders))

    @property
    def pictures(self) -> list[str]:
        """The full names of all pictures."""
        return [*self.loose, *(name for names in self.folders.values() for name in names)]


class LeftOut(NamedTuple):
    """A folder whose pictures are not used, by its path, and a sentence that says why."""

    folder: str
    notice: str


class Layout(NamedTuple):
    """Where the classes lie: one level, or one for each part; and what the user should read about it."""

    levels: list[tuple[Level, str | None]]
    left_out: list[LeftOut]
    remarks: list[str] = []  # noqa: RUF012  never changed

    @property
    def notices(self) -> list[str]:
        """All sentences."""
        return [*(one.notice for one in self.left_out), *self.remarks]

    @property
    def labelled(self) -> list[tuple[str, str, str | None]]:
        """The (picture, class, part) of every picture in a class folder."""
        return [
            (name, label, part)
            for level, part in self.levels
            for label, names in level.folders.items()
            for name in names
        ]


def level_of(pictures: Iterable[str], prefix: str = "") -> Level:
    """Return what lies directly below a folder, of the pictures below it."""
    level = Level(prefix, {}, [])
    for name in pictures:
        first, inside, _ = name[len(prefix) :].partition("/")
        (level.folders.setdefault(first, []) if inside else level.loose).append(name)
    return level


def wrapped(level: Level) -> list[Level]:
    """Return the level, and those inside as long as one folder holds all of it."""
    levels = [level]
    while len(levels[-1].folders) == 1 and not levels[-1].loose:
        levels.append(_inside(levels[-1], *levels[-1].folders))
    return levels


def _inside(level: Level, folder: str) -> Level:
    return level_of(level.folders[folder], f"{level.prefix}{folder}/")


def read_layout(root: Path, pictures: Sequence[str], requested: str = "auto") -> Layout:
    """Return where the classes of these pictures lie: at the top, or below the parts' folders.

    `requested` is "parts", "classes", or "auto": parts where the folders' names tell of train and of another part, and
    what lies below them agrees.

    Raises:
        DataError: It is not clear. The line names what else it may be, and the option that decides.
    """
    top, *within = (level for level in wrapped(level_of(pictures)) if level.folders)
    if requested != "classes":
        level, copies = _without_copies(root, within[-1] if within else top)
        if parts := _read_parts(root, level, sure=requested == "parts"):
            return parts._replace(left_out=[*copies, *parts.left_out])
    level, copies = _without_copies(root, top, sure=requested == "classes")
    if requested == "classes":
        return Layout([(level, None)], copies)
    _refuse_no_classes(root, level)
    _refuse_parts_below(root, level)
    if inside := _parts_within(level, copies):
        return inside
    _refuse_crossed(root, level)
    return Layout([(level, None)], copies, _called_parts(level))


# ---- parts ----------------------------------------------------------------------------------------------------------


class Parts(NamedTuple):
    """Folders that may be parts, and where the classes of all folders beside each other lie."""

    level: Level
    part_of: dict[str, str]  # of the folders that are called like parts
    classes: dict[str, Level]

    @property
    def known(self) -> frozenset[str]:
        """The classes of train."""
        return frozenset(name for folder in self.train for name in self.classes[folder].names)

    @property
    def train(self) -> list[str]:
        """The folders called train."""
        return [folder for folder, part in self.part_of.items() if part == "train"]

    @property
    def flat(self) -> list[str]:
        """The folders without classes."""
        return [folder for folder in self.level.folders if not self.classes[folder].folders]

    @property
    def alike(self) -> list[str]:
        """The other parts that hold mostly the classes of train."""
        others = [folder for folder in self.part_of if folder not in self.train]
        return [folder for folder in others if _mostly(self.classes[folder].names, self.known)]

    @property
    def used(self) -> dict[str, str]:
        """The parts that have classes."""
        return {folder: part for folder, part in self.part_of.items() if folder not in self.flat}

    @property
    def others(self) -> list[str]:
        """The folders that are not called like parts."""
        return [folder for folder in self.level.folders if folder not in self.part_of]


def _read_parts(root: Path, level: Level, *, sure: bool) -> Layout | None:
    """Return the classes of each part; None where the folders are rather classes."""
    part_of = {folder: part for folder in level.folders if (part := part_called(folder))}
    if "train" not in part_of.values() or len(set(part_of.values())) < 2:
        expected = "Expected a train folder and a test or val folder beside it"
        if sure:
            raise DataError(f"{root / level.prefix} holds {name_some(level.folders)}. {expected}: call the parts so.")
        if _look_like_parts(level, part_of):
            raise DataError(_unclear(root, level, part_of, f"{expected}, called so"))
        return None
    parts, copies = _find_classes(root, level, part_of)
    bare = all(map(_is_bare, part_of))
    if not (parts.known or bare or sure) and parts.others:
        return None  # `train_station`, `test_site` and `harbour`, each with its pictures
    _refuse_doubtful(root, parts, sure=sure or bare)
    _refuse_uneven(root / level.prefix, parts)
    levels = [(parts.classes[folder], part if len(parts.used) > 1 else None) for folder, part in parts.used.items()]
    return Layout(levels, [*copies, *unlabelled(root, level, parts.flat)], _renamed(root, parts.used, bare))


def _find_classes(root: Path, level: Level, part_of: dict[str, str]) -> tuple[Parts, list[LeftOut]]:
    """Return where the classes of each folder lie, first those of train: the others are read by them."""
    parts = Parts(level, part_of, {})
    left_out: list[LeftOut] = []
    order = sorted(level.folders, key=lambda folder: part_of.get(folder) != "train")
    for folder in order:
        known = parts.known if part_of.get(folder) != "train" else frozenset[str]()
        parts.classes[folder], copies = _without_copies(root, _class_level(_inside(level, folder), known))
        left_out += copies
    return parts, left_out


def _refuse_doubtful(root: Path, parts: Parts, *, sure: bool) -> None:
    """Raise DataError where the folders are not clearly parts, and nothing else."""
    level, part_of = parts.level, parts.part_of
    if sure and not parts.known:
        (train, *_) = parts.train
        raise DataError(
            f"{root / level.prefix / train} holds no pictures in class folders. Expected {train}/<class>/<picture>: "
            "fill it, or move it away; if it is a class: --layout classes."
        )
    strange = parts.used.keys() - {*parts.train, *parts.alike}
    if not (sure or parts.alike) and (strange or parts.others or not parts.known):
        raise DataError(_unclear(root, level, part_of, "Below them lie no folders of the same names"))


def _refuse_uneven(folder: Path, parts: Parts) -> None:
    """Raise DataError where parts do not fit together: pictures beside them, one part twice, no class in both."""
    classes = "if they are classes: --layout classes."
    if others := [other for other in parts.others if other not in parts.flat]:
        raise DataError(
            f"{folder} holds {', '.join(parts.part_of)} and also pictures in {name_some(sorted(others))}. Expected "
            f"split folders alone: move the others away; or, {classes}"
        )
    if len(set(parts.used.values())) < len(parts.used):
        raise DataError(f"{folder} holds {', '.join(parts.used)}: two folders of one part. Keep one; or, {classes}")
    for other in parts.used:
        if not parts.classes[other].names & parts.known:
            told = [f"{name_some(sorted(parts.classes[one].folders))} in {one}" for one in (parts.train[0], other)]
            raise DataError(f"{folder} has no class in both: {', '.join(told)}. Expected the same folders; {classes}")


def _class_level(part: Level, known: frozenset[str]) -> Level:
    """Return the level of a part that holds classes: below folders that only wrap them (`seg_train/seg_train/<class>`).

    It is the first with known classes; of train, where none are known yet, the first with two folders.
    """
    levels = wrapped(part)
    if known:
        found = next((level for level in levels if level.names & known), None)
        return found or (levels[-1] if not levels[-1].folders else levels[0])
    return next((level for level in levels if len(level.folders) > 1), levels[0])


def _is_bare(folder: str) -> bool:
    """Say whether a folder is called as a part and nothing else, but for a number: `Test`, `train2017`."""
    return re.sub(r"[\W\d_]", "", folder).casefold() in PART_NAMES


def _mostly(names: frozenset[str], known: frozenset[str]) -> bool:
    return bool(names) and len(names & known) >= MOSTLY * len(names)


def _look_like_parts(level: Level, part_of: Mapping[str, str]) -> bool:
    """Say whether folders that are no train beside another part may be parts all the same: what lies below is alike."""
    if len(part_of) == len(level.folders) > 1:
        return True  # val and test alone, or train_images and train_masks
    if not part_of or (len(part_of) < 2 and len(level.folders) != 2):
        return False
    beside = list(level.folders) if len(level.folders) == 2 else list(part_of)
    names = [wrapped(_inside(level, folder))[-1].names for folder in beside]
    shared = frozenset.intersection(*names)
    return len(shared) > 1 and all(_mostly(one, shared) for one in names)


def _unclear(root: Path, level: Level, part_of: Mapping[str, str], why: str) -> str:
    told = "these" if len(part_of) in (0, len(level.folders)) else ", ".join(part_of)
    return (
        f"{root / level.prefix} holds {name_some(level.folders)}: {told} may be parts of the data or classes. {why}. "
        "Say which: --layout parts (rename or move what is none) or --layout classes."
    )


def _renamed(root: Path, used: Mapping[str, str], bare: bool) -> list[str]:
    told = ", ".join(f"{folder} is {part}" for folder, part in used.items())
    return [] if bare else [f"The parts of {root}: {told}."]


def unlabelled(root: Path, level: Level, flat: Sequence[str], why: str = "no class folders lie in") -> list[LeftOut]:
    """Return for each folder of pictures without labels how many they are, and what they are good for."""
    use = "A model names their classes: regraft predict RUN"
    return [
        LeftOut(
            (name := level.prefix + folder),
            f"Left out, since {why} {name}: {len(level.folders[folder])} pictures. {use} {root / name}",
        )
        for folder in flat
    ]


def _refuse_parts_below(root: Path, level: Level) -> None:
    """Raise DataError where one of several folders holds whole parts: it is the data set, and no class.

    That each class holds a folder of pictures for each part is another layout, and is read.
    """
    sets = [folder for folder in level.folders if _holds_parts(_inside(level, folder))]
    nested = [
        folder
        for folder in sets
        if any(wrapped(_inside(_inside(level, folder), part))[-1].folders for part in _inside(level, folder).folders)
    ]
    if len(level.folders) > 1 and sets and (nested or len(sets) < len(level.folders)):
        raise DataError(
            f"{root / level.prefix} holds {name_some(level.folders)}, and {sets[0]} holds parts of its own. Is "
            f"{root / level.prefix / sets[0]} the one you meant? If these folders are the classes: --layout classes."
        )


def _holds_parts(level: Level) -> bool:
    parts = {part_called(folder) for folder in level.folders if _is_bare(folder)}
    return "train" in parts and len(parts) > 1


def _parts_within(level: Level, copies: list[LeftOut]) -> Layout | None:
    """Return the parts of classes that hold one folder for each part (`cat/train`, `cat/test`), else None."""
    insides = [_inside(level, folder) for folder in level.folders]
    part_of = {name: PART_NAMES.get(name.casefold()) for inside in insides for name in inside.folders}
    if None in part_of.values() or not {"train"} < set(part_of.values()) or any(inside.loose for inside in insides):
        return None
    levels = [
        (Level(level.prefix, {label: names}, []), part_of[name])
        for label, inside in zip(level.folders, insides, strict=True)
        for name, names in inside.folders.items()
    ]
    return Layout(levels, copies, [f"The parts are the folders in each class: {', '.join(part_of)}."])


# ---- what is no class -----------------------------------------------------------------------------------------------


def _without_copies(root: Path, level: Level, *, sure: bool = False) -> tuple[Level, list[LeftOut]]:
    """Return the level without folders that hold the rest of it once more.

    Raises:
        DataError: A folder holds folders of the same names as those beside it, and other pictures; not where it is
            `sure` that all are classes.
    """
    if len(level.folders) < 3:
        return level, []
    repeated = {folder: _repeated(root, level, folder, sure=sure) for folder in level.folders}
    copied = {folder: beside for folder, beside in repeated.items() if beside}
    for folder, pairs in _gathered(level).items():
        # a part that repeats others is a leak, which is told when the pictures are read, and still a part
        if folder not in copied and not part_called(folder) and _all_same(root, pairs):
            copied[folder] = name_some(other for other in level.folders if other != folder)
    left = {folder: names for folder, names in level.folders.items() if folder not in copied}
    return level._replace(folders=left), [
        LeftOut(
            (name := level.prefix + folder),
            f"Left out: {name} holds {len(level.folders[folder])} pictures of {beside} once more.",
        )
        for folder, beside in copied.items()
    ]


def _repeated(root: Path, level: Level, folder: str, *, sure: bool) -> str:
    """Return the names of the folders that `folder` repeats; "" where it repeats none."""
    others = {name.casefold() for name in level.folders if name != folder}
    for inner in wrapped(_inside(level, folder)):
        shared = [name for name in inner.folders if name.casefold() in others]
        if len(shared) < 2 or len(shared) < MOSTLY * len(others):
            continue
        pairs = [(name, level.prefix + name[len(inner.prefix) :]) for name in inner.pictures]
        beside = set(level.pictures)
        if all(other in beside for _, other in pairs) and _all_same(root, pairs):
            return name_some(shared)
        if sure:
            continue
        raise DataError(
            f"{inner.prefix.rstrip('/')} in {root} holds folders called as those beside it ({name_some(shared)}), and "
            "other pictures. Merge them, or move it away; if it is a class of its own: --layout classes."
        )
    return ""


def _gathered(level: Level) -> dict[str, list[tuple[str, str]]]:
    """Return folders whose pictures are called like pictures of others, of several together and not of one alone.

    With each come its pictures, each beside one of the same name.
    """
    found: dict[str, dict[str, str]] = {}  # a file's name -> {folder: a picture of that name in it}
    for folder, names in level.folders.items():
        for name in names:
            found.setdefault(_last(name), {})[folder] = name
    gathered = {}
    for folder, names in level.folders.items():
        alike = [{other: match for other, match in found[_last(name)].items() if other != folder} for name in names]
        if all(alike) and max(Counter(other for matches in alike for other in matches).values()) < len(names):
            gathered[folder] = [
                (name, next(iter(matches.values()))) for name, matches in zip(names, alike, strict=True)
            ]
    return gathered


def _last(name: str) -> str:
    return name.rpartition("/")[2]


def _all_same(root: Path, pairs: Sequence[tuple[str, str]]) -> bool:
    """Say whether all pairs of files have equal sizes, and some of them, evenly chosen, equal bytes."""
    try:
        if any((root / one).stat().st_size != (root / other).stat().st_size for one, other in pairs):
            return False
        some = pairs[:: max(1, len(pairs) // COMPARED)]
        return all((root / one).read_bytes() == (root / other).read_bytes() for one, other in some)
    except OSError:
        return False


def _refuse_no_classes(root: Path, level: Level) -> None:
    if len(level.folders) < 2 or not level.names <= NO_CLASSES:
        return
    of_pictures = [folder for folder in level.folders if folder.casefold() in PICTURE_FOLDERS]
    inside = [folder for folder in of_pictures if len(wrapped(_inside(level, folder))[-1].folders) > 1]
    meant = f"is {root / level.prefix / inside[0]} the one you meant? If" if inside else "if"
    raise DataError(
        f"{root / level.prefix} holds {name_some(level.folders)}: pictures and what belongs to them, rather than "
        f"classes. Expected FOLDER/<class>/<picture>; {meant} they are the classes: --layout classes."
    )


def _called_parts(level: Level) -> list[str]:
    """Return a sentence on a folder that is read as a class and called like a part, or like pictures without labels."""
    odd = [name for name in level.folders if _is_bare(name) or name.casefold() in ("unlabeled", "unlabelled")]
    return [f"{name!r} is read as a class. If it is none, move it away." for name in odd]


def _refuse_crossed(root: Path, level: Level) -> None:
    """Raise DataError where most folders hold folders of the same names: either may be the classes, or patients.

    ``patient7/{0,1}`` and ``fold1/{cat,dog}`` are such data sets. In ``{cat,dog}/patient7`` only the inner names are
    numbered: those are patients.
    """
    insides = [_inside(level, folder) for folder in level.folders]
    found = Counter(name for inside in insides for name in inside.folders)
    shared = [name for name, count in found.items() if count > MOSTLY * len(insides)]
    if len(insides) < 2 or len(shared) < 2 or any(inside.loose for inside in insides):
        return
    if _numbered(shared) and not _numbered(level.folders):
        return
    inner = "^" + "[^/]+/" * (level.prefix.count("/") + 1) + "([^/]+)/"
    outer = "^" + "[^/]+/" * level.prefix.count("/") + "([^/]+)/"
    raise DataError(
        f"{root / level.prefix} holds {name_some(level.folders)}, and below them lie {name_some(sorted(shared))}: "
        f"which are the classes? The outer ones: --layout classes. The inner ones: --label-pattern '{inner}', and if "
        f"the outer ones are patients or other sources, --groups '{outer}' keeps each of them together; if they are "
        "parts, call them train and test."
    )


def _numbered(names: Iterable[str]) -> bool:
    return all(re.search(r"\d", name) for name in names)
