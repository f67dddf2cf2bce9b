"""Read a table of paths and labels -> rows: which column is which, and what its cells mean."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from regraft.data.columns import (
    NOBODY,
    Columns,
    absence,
    columns_of,
    filled,
    find,
    find_all,
    is_number,
    known,
    named,
    none_of,
    plain,
)
from regraft.data.kinds import IMAGE_SUFFIXES
from regraft.data.labels import refuse_columns_of_classes, single
from regraft.data.locating import Shelf, locate
from regraft.data.naming import label_by_pattern
from regraft.data.part_columns import PartOf, parts_of
from regraft.data.rows import Found, Reading, Row, name_some
from regraft.data.sheets import read_sheet
from regraft.errors import DataError, NoImages

PATH_COLUMNS = (
    *("path", "filename", "file", "image", "filepath", "name", "image path", "image file", "image name", "image id"),
    *("img", "img path", "img file", "img name", "img id", "picture", "photo", "photo id", "picture id", "image index"),
    *("relative path", "full path", "fname", "file id", "id code", "isic id", "id", "uri"),
)
LABEL_COLUMNS = (
    *("label", "class", "target", "category", "labels", "classes", "class name", "class label", "label name"),
    *("category name", "targets", "class id", "label id", "category id", "ground truth", "truth", "gt"),
)
OTHER_LABELS = (
    *("diagnosis", "dx", "breed", "species", "disease", "finding", "findings", "finding labels", "type", "variety"),
    *("tag", "tags", "grade", "level", "severity", "pathology", "condition", "expression", "emotion"),
    *("benign malignant", "cell type", "tissue", "variant"),
)
"""What people call a label where no column is called so: one beside a `label` says something else."""
GROUP_COLUMNS = (
    *("group", "patient", "source", "subject", "patient id", "subject id", "lesion id", "case id", "group id"),
)
MOST_UNLABELLED = 0.05  # of the rows: above it the column is rather the wrong one


def read_table(table: Path, reading: Reading = Reading()) -> Found:  # noqa: B008  a value, never changed
    """List the pictures of a table. Paths are relative to the table's folder, or to `reading.images`.

    `reading.groups` may name a column; without it, one called group, patient, source or subject is used. A file that
    is not there stays in the list: it is one that cannot be read.

    Raises:
        NoImages: The table has no rows.
        DataError: It is not clear which column is which, or what a cell means; the line names the option that decides.
    """
    shelf = Shelf(table, reading.images)
    columns, path_column, label_column, notices = _choose(shelf, reading)
    parts, of_parts = parts_of(table, columns, reading.split_column, {path_column, label_column})
    unlabelled: list[str] = []
    if label_column is not None:
        keep, unlabelled = _labelled(table, label_column, columns[label_column], parts)
        columns = {name: [cells[at] for at in keep] for name, cells in columns.items()}
        parts = [parts[at] for at in keep]
    paths, located = locate(shelf, filled(table, columns, path_column))
    names = [_name(path, table, reading.images) for path in paths]
    labels, doubtful = _read_labels(table, columns, label_column, names, reading)
    groups, of_groups = _read_groups(table, columns, names, reading)
    rows = [Row(*row) for row in zip(paths, names, labels, parts, groups, strict=True)]
    rows, twice = _once(table, rows)
    return Found(rows, [*notices, *unlabelled, *doubtful, *located, *of_parts, *of_groups, *twice])


# ---- which column is which ------------------------------------------------------------------------------------------


def _choose(shelf: Shelf, reading: Reading) -> tuple[Columns, str, str | None, list[str]]:
    """Return the columns, those of paths and of labels (None with a pattern), and what should be said of the choice."""
    sheet = read_sheet(shelf.table)
    header = sheet.names_columns or not _is_row(sheet.first, shelf, reading)
    columns = columns_of(shelf.table, sheet, header=header)
    if not sheet.rows and header:
        raise NoImages(f"{shelf.table} has no rows below its header.")
    try:
        path, label, notices = (_columns if header else _unnamed)(shelf, columns, reading)
    except DataError as error:  # what is odd about the file may be why
        raise DataError(" ".join([str(error), *sheet.notices])) from None
    return columns, path, label, [*sheet.notices, *notices]


def _columns(shelf: Shelf, columns: Columns, reading: Reading) -> tuple[str, str | None, list[str]]:
    """Return the column of paths, that of labels (None with a pattern), and what should be said of the choice."""
    table, path = shelf.table, _path_column(shelf, columns, reading)
    if reading.label_pattern is not None:
        return path, None, []
    if reading.label_column is not None:
        return path, named(table, columns, reading.label_column, "--label-column"), []
    label, notices = _label_column(table, columns, path)
    return path, label, notices


def _path_column(shelf: Shelf, columns: Columns, reading: Reading) -> str:
    table = shelf.table
    if reading.path_column is not None:
        return named(table, columns, reading.path_column, "--path-column")
    found = find_all(columns, PATH_COLUMNS)
    if not found:
        of_files = next((name for name, cells in columns.items() if shelf.share(cells) > 0.5), "NAME")
        expected = none_of(table, columns, "path", PATH_COLUMNS[:6])
        raise DataError(f"{expected}; or name it: --path-column {of_files}.")
    shares = {name: shelf.share(columns[name]) for name in found}
    best = [name for name in found if shares[name] == max(shares.values())]
    if len({tuple(columns[name]) for name in best}) > 1 and max(shares.values()):
        files = {tuple(locate(shelf, columns[name]).paths) for name in best}
        if len(files) > 1:
            told = f"{len(best)} columns of files: {', '.join(best)}"
            raise DataError(f"{table} has {told}. Name one: --path-column {best[0]}")
    return best[0]


def _label_column(table: Path, columns: Columns, path: str) -> tuple[str, list[str]]:
    """Return the column of labels; of several that part the rows in the same way, the one with words."""
    others = {name: known(cells) for name, cells in columns.items() if name != path}
    found = find_all(others, LABEL_COLUMNS) or find_all(others, OTHER_LABELS)
    if not found:
        refuse_columns_of_classes(table, others)
        raise DataError(f"{none_of(table, columns, 'label', LABEL_COLUMNS[:4])}; or name it: --label-column NAME.")
    if len({_parting(others[name]) for name in found}) > 1:
        raise DataError(
            f"{table} has {len(found)} columns of labels: {', '.join(found)}. Name one: --label-column {found[0]}"
        )
    chosen = min(found, key=lambda name: all(is_number(cell) for cell in columns[name]))
    same = [name for name in found if name != chosen]
    return chosen, [f"The label is the column {chosen!r} of {table}; {', '.join(same)} says the same."] if same else []


def _parting(cells: Sequence[str]) -> tuple[int, ...]:
    """Return for each row which of the different cells it has: the same for 0, 1, 0 and cat, dog, cat."""
    numbers: dict[str, int] = {}
    return tuple(numbers.setdefault(cell, len(numbers)) for cell in cells)


def _is_row(cells: Sequence[str], shelf: Shelf, reading: Reading) -> bool:
    """Say whether the first line is a row already: a cell of it is a picture, and none is called as columns are."""
    usual = {
        plain(name) for name in (*PATH_COLUMNS, *LABEL_COLUMNS, reading.path_column or "", reading.label_column or "")
    }
    if usual & {plain(cell) for cell in cells if not cell.isdecimal()}:
        return False
    return any(cell.lower().endswith(IMAGE_SUFFIXES) or shelf.share([cell]) for cell in cells if cell)


def _unnamed(shelf: Shelf, columns: Columns, reading: Reading) -> tuple[str, str | None, list[str]]:
    """Return the columns of a table without a header: they are called 1, 2, 3 …"""
    wanted = (("--path-column", reading.path_column), ("--label-column", reading.label_column))
    table = shelf.table
    path, label = (name and named(table, columns, name, option) for option, name in wanted)
    path = path or max(columns, key=lambda name: shelf.share(columns[name]))
    others = [name for name in columns if name != path]
    if label is None and reading.label_pattern is None and len(others) != 1:
        raise DataError(
            f"{table} has no header and {len(columns)} columns, of which {path} holds the files: which is the label? "
            f"Write a header such as path,label, or name it by its number: --label-column {others[0] if others else 2}"
        )
    label = None if reading.label_pattern is not None else label or others[0]
    said = f", column {label} as the label" if label else ""
    return path, label, [f"{table} has no header: column {path} is read as the path{said}."]


# ---- what the cells say ---------------------------------------------------------------------------------------------


def _labelled(table: Path, label: str, written: Sequence[str], parts: PartOf) -> tuple[list[int], list[str]]:
    """Return the rows that have a label, and what is said of the others: a test part may have none at all."""
    cells, nothing = known(written), absence(written)
    keep = [at for at, cell in enumerate(cells) if cell]
    empty = f"{len(cells) - len(keep)} of {len(cells)} rows"
    if len(keep) == len(cells):
        return keep, []
    blank = {part for part, cell in zip(parts, cells, strict=True) if not cell}
    tested = keep and None not in blank and "train" not in blank and not blank & {parts[at] for at in keep}
    if not tested and len(cells) - len(keep) > MOST_UNLABELLED * len(cells):
        word = "" if nothing == "is empty" else " (if that is a class, give it another name)"
        raise DataError(
            f"The column {label!r} of {table} {nothing} in {empty}{word}. Fill these cells or remove the rows (regraft "
            "predict is for pictures without a label), or name another column: --label-column NAME."
        )
    return keep, [f"Left out, since their column {label!r} {nothing}: {empty} of {table}."]


def _read_labels(
    table: Path, columns: Columns, column: str | None, names: Sequence[str], reading: Reading
) -> tuple[Sequence[str], list[str]]:
    """Return the label of every row, and what is doubtful about them; without a column, what the pattern finds."""
    if column is None:
        return label_by_pattern(names, str(reading.label_pattern)), []
    return single(table, column, columns[column], learn=reading.learn)


def _read_groups(
    table: Path, columns: Columns, names: Sequence[str], reading: Reading
) -> tuple[Sequence[str | None], list[str]]:
    """Return the group of every row, and a notice when the column was found and not asked for."""
    column = find(columns, [reading.groups] if reading.groups is not None else GROUP_COLUMNS)
    written = columns[column] if column else []
    cells, nothing = known(written, NOBODY), absence(written, NOBODY)
    asked = reading.groups is not None
    if column is None or (not asked and len(set(cells) - {""}) < 2):  # one source for all parts nothing
        return [None] * len(names), []
    if not any(cells):
        raise DataError(f"The column {column!r} of {table} {nothing}: it groups nothing. Leave out --groups {column}.")
    notices = [] if asked else [f"Grouped by the column {column!r} of {table}; --groups '.+' groups nothing."]
    if empty := cells.count(""):
        notices.append(
            f"The column {column!r} of {table} {nothing} in {empty} of {len(cells)} rows: each of these pictures is a "
            "group of its own."
        )
    return [cell or name for cell, name in zip(cells, names, strict=True)], notices


def _once(table: Path, rows: Sequence[Row]) -> tuple[list[Row], list[str]]:
    """Return each picture once. What is listed twice must say the same."""
    by_path: dict[Path, list[Row]] = defaultdict(list)
    dotted = any(".." in row.path.parts for row in rows)  # images/a.jpg is images/../images/a.jpg too
    for row in rows:
        by_path[row.path.resolve() if dotted else row.path].append(row)
    twice = [same for same in by_path.values() if len(same) > 1]
    for what in ("label", "part", "group"):
        if torn := [same for same in twice if len({getattr(row, what) for row in same}) > 1]:
            said = name_some(dict.fromkeys(str(getattr(row, what)) for row in torn[0]))
            raise DataError(
                f"{table} lists {len(torn)} pictures with more than one {what}: {torn[0][0].name} ({said}). Keep one "
                f"row for each picture, or name another column: --{_OPTIONS[what]} NAME."
            )
    some = name_some(same[0].name for same in twice)
    notice = f"{len(rows) - len(by_path)} rows of {table} say the same as another and count once: {some}."
    return [same[0] for same in by_path.values()], [notice] if twice else []


_OPTIONS = {"label": "label-column", "part": "split-column", "group": "groups"}


def _name(path: Path, table: Path, images: Path | None) -> str:
    """Return what a picture is called: its path below the table's folder, else below that of the pictures."""
    roots = [table.parent, *([images.absolute()] if images else [])]
    root = next((root for root in roots if path.is_relative_to(root)), None)
    return (path.relative_to(root) if root else path).as_posix()
