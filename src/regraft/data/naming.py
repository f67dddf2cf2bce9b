"""Find the class in a file's name: by a pattern that is given, or one that is proposed from the names."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from regraft.data.rows import name_some
from regraft.errors import DataError

MOST_CLASSES = 5  # at least so many pictures for each class, on average: fewer are rather serial numbers

PATTERNS = (
    r"^(\D*?[^\W\d_])[\W_]*\d[\d\W_]*\.\w+$",  # cat.12.jpg, great_pyrenees_173.jpg, Bengal (3).jpg
    r"^\d[\d\W_]*?[\W_]+([^\W\d_].*)\.\w+$",  # 0001_dog.jpg
    r"^([^\W_]+)[\W_]",  # n01440764_10026.JPEG, dog-2021-05-3.png
    r"[\W_]([^\W_]+)\.\w+$",  # IMG_20210503_dog.jpg
    r"^[^\W_]+[\W_]+([^\W_]+)[\W_]",  # SOB_B_A-14-22549AB.png
    r"^[^\W_]+[\W_]+[^\W_]+[\W_]+([^\W_]+)[\W_]",
)
"""Where people write a class into a file's name, the most usual first."""
FOLDER_PATTERNS = (r"[_-]([^\W\d_]+)/[^/]+$",)  # patient1/study1_positive/image1.png


def label_by_pattern(names: Sequence[str], pattern: str, option: str = "label pattern") -> list[str]:
    """Return what the pattern finds in each file name: its first group, else all it matches.

    Raises:
        DataError: It is no regular expression, or does not match every name.
    """
    found = match_names(names, pattern, option)
    if unmatched := [name for name, label in zip(names, found, strict=True) if not label]:
        raise DataError(
            f"The {option} '{pattern}' does not match {len(unmatched)} of {len(names)} file names: "
            f"{name_some(unmatched)}. Expected one that matches them all: --label-pattern REGEX."
        )
    return [str(label) for label in found]


def match_names(names: Sequence[str], pattern: str, what: str) -> list[str | None]:
    """Return what the pattern finds in each file name, None where nothing; with a "/" it is searched in the whole path.

    Raises:
        DataError: It is no regular expression.
    """
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise DataError(f"The {what} '{pattern}' cannot be read as a regular expression: {error}.") from error
    in_folders = "/" in pattern  # no file name has one: folders are meant
    matches = (expression.search(name if in_folders else name.rpartition("/")[2]) for name in names)
    return [match and match[1 if expression.groups else 0] for match in matches]


def propose(names: Sequence[str], patterns: Sequence[str] = PATTERNS) -> str:
    """Say which `--label-pattern` finds classes in file names, and how many pictures of each; else nothing."""
    for pattern in patterns:
        counts = Counter(match_names(names, pattern, "pattern"))
        if None in counts or all(str(label).isdecimal() for label in counts):
            continue
        if 2 <= len(counts) <= len(names) / MOST_CLASSES and min(counts.values()) > 1:
            told = name_some((f"{label} ({count})" for label, count in counts.most_common()), 5)
            return f"their names seem to hold the class: --label-pattern '{pattern}' finds {told}"
    return ""
