"""Read a table of paths and labels -> rows: which column is which, and what its cells mean."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from regraft.data.columns import Columns, columns_of, plain, read_sheet
from regraft.data.kinds import IMAGE_SUFFIXES
from regraft.data.labels import refuse_columns_of_classes, single
from regraft.data.locating import Shelf, locate
from regraft.data.naming import label_by_pattern
from regraft.data.rows import Found, Reading, Row, name_some, part_called
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
PART_COLUMNS = ("split", "part", "subset", "fold", "set", "data set", "dataset split", "partition", "usage", "phase")
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
    sheet, shelf = read_sheet(table), Shelf(table, reading.images)
    header = sheet.names_columns or not _is_row(sheet.first, shelf, reading)
    columns = columns_of(table, sheet, header=header)
    if not sheet.rows and header:
        raise NoImages(f"{table} has no rows below its header.")
    try:
        path_column, label_column, notices = (_columns if header else _unnamed)(shelf, columns, reading)
    except DataError as error:  # what is odd about the file may be why
        raise DataError(" ".join([str(error), *sheet.notices])) from None
    columns, unlabelled = _labelled(table, columns, label_column, reading)
    cells = filled(table, columns, path_column)
    paths, located = locate(shelf, cells)
    names = [_name(path, table, reading.images) for path in paths]
    if reading.label_pattern is not None:
        labels: Sequence[str] = label_by_pattern(names, reading.label_pattern)
    else:
        labels = single(table, str(label_column), columns[str(label_column)], learn=reading.learn)
    part_of, unused = _read_parts(table, columns, reading)
    group_of, grouped = _read_groups(table, columns, names, reading)
    rows = [Row(*row) for row in zip(paths, names, labels, part_of, group_of, strict=True)]
    rows, twice = _once(table, rows)
    return Found(rows, [*sheet.notices, *notices, *unlabelled, *located, *unused, *grouped, *twice])


# ---- which column is which ------------------------------------------------------------------------------------------


def find(columns: Columns, known: Sequence[str]) -> str | None:
    """Return the first known column that the table has, however it is written."""
    return next(iter(_found(columns, known)), None)


def _found(columns: Columns, known: Sequence[str]) -> list[str]:
    by_name = {_singular(name): name for name in reversed(columns)}
    return list(dict.fromkeys(by_name[_singular(name)] for name in known if _singular(name) in by_name))


def _singular(name: str) -> str:
    return plain(name).removesuffix("s")


def require(table: Path, columns: Columns, kind: str, known: Sequence[str]) -> str:
    """Return the first known column that the table has, or say which columns there are."""
    if column := find(columns, known):
        return column
    raise DataError(_none_of(table, columns, kind, known))


def _none_of(table: Path, columns: Columns, kind: str, known: Sequence[str]) -> str:
    return (
        f"{table} has no {kind} column: found {', '.join(columns) or 'no columns'}; expected one of {', '.join(known)}"
    )


def _named(table: Path, columns: Columns, name: str, option: str) -> str:
    """Return the column that the user has named: as it is written, else in another spelling."""
    column = name if name in columns else find(columns, [name])
    if column is None:
        raise DataError(f"{table} has no column {name!r}: found {', '.join(columns)}. Name one of them: {option} NAME.")
    return column


def _columns(shelf: Shelf, columns: Columns, reading: Reading) -> tuple[str, str | None, list[str]]:
    """Return the column of paths, that of labels (None with a pattern), and what should be said of the choice."""
    table, path = shelf.table, _path_column(shelf, columns, reading)
    if reading.label_pattern is not None:
        return path, None, []
    if reading.label_column is not None:
        return path, _named(table, columns, reading.label_column, "--label-column"), []
    label, notices = _label_column(table, columns, path)
    return path, label, notices


def _path_column(shelf: Shelf, columns: Columns, reading: Reading) -> str:
    table = shelf.table
    if reading.path_column is not None:
        return _named(table, columns, reading.path_column, "--path-column")
    found = _found(columns, PATH_COLUMNS)
    if not found:
        of_files = next((name for name, cells in columns.items() if shelf.share(cells) > 0.5), "NAME")
        expected = _none_of(table, columns, "path", PATH_COLUMNS[:6])
        raise DataError(f"{expected}; or name it: --path-column {of_files}.")
    shares = {name: shelf.share(columns[name]) for name in found}
    best = [name for name in found if shares[name] == max(shares.values())]
    if len({tuple(columns[name]) for name in best}) > 1 and max(shares.values()):
        files = {tuple(locate(shelf, columns[name]).paths) for name in best}
        if len(files) > 1:
            named = f"{len(best)} columns of files: {', '.join(best)}"
            raise DataError(f"{table} has {named}. Name one: --path-column {best[0]}")
    return best[0]


def _label_column(table: Path, columns: Columns, path: str) -> tuple[str, list[str]]:
    """Return the column of labels; of several that part the rows in the same way, the one with words."""
    others = {name: cells for name, cells in columns.items() if name != path}
    found = _found(others, LABEL_COLUMNS) or _found(others, OTHER_LABELS)
    if not found:
        refuse_columns_of_classes(table, others)
        raise DataError(f"{_none_of(table, columns, 'label', LABEL_COLUMNS[:4])}; or name it: --label-column NAME.")
    if len({_parting(columns[name]) for name in found}) > 1:
        raise DataError(
            f"{table} has {len(found)} columns of labels: {', '.join(found)}. Name one: --label-column {found[0]}"
        )
    chosen = min(found, key=lambda name: all(_is_number(cell) for cell in columns[name]))
    same = [name for name in found if name != chosen]
    return chosen, [f"The label is the column {chosen!r} of {table}; {', '.join(same)} says the same."] * bool(same)


def _parting(cells: Sequence[str]) -> tuple[int, ...]:
    """Return for each row which of the different cells it has: the same for 0, 1, 0 and cat, dog, cat."""
    numbers: dict[str, int] = {}
    return tuple(numbers.setdefault(cell, len(numbers)) for cell in cells)


def _is_number(cell: str) -> bool:
    return cell.replace(".", "", 1).isdecimal()


def _is_row(cells: Sequence[str], shelf: Shelf, reading: Reading) -> bool:
    """Say whether the first line is a row already: a cell of it is a picture, and none is called as columns are."""
    known = {
        plain(name) for name in (*PATH_COLUMNS, *LABEL_COLUMNS, reading.path_column or "", reading.label_column or "")
    }
    if known & {plain(cell) for cell in cells if not cell.isdecimal()}:
        return False
    return any(cell.lower().endswith(IMAGE_SUFFIXES) or shelf.share([cell]) for cell in cells if cell)


def _unnamed(shelf: Shelf, columns: Columns, reading: Reading) -> tuple[str, str | None, list[str]]:
    """Return the columns of a table without a header: they are called 1, 2, 3 …"""
    wanted = (("--path-column", reading.path_column), ("--label-column", reading.label_column))
    table = shelf.table
    path, label = (name and _named(table, columns, name, option) for option, name in wanted)
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


def filled(table: Path, columns: Columns, column: str) -> list[str]:
    """Return a column's cells, none of which may be empty."""
    if empty := columns[column].count(""):
        raise DataError(
            f"The column {column!r} of {table} is empty in {empty} of {len(columns[column])} rows. Fill these cells or "
            "remove the rows."
        )
    return columns[column]


def _labelled(table: Path, columns: Columns, label: str | None, reading: Reading) -> tuple[Columns, list[str]]:
    """Return the rows that have a label, and what is said of the others: a test part may have none at all."""
    cells = columns[label] if label else []
    keep = [at for at, cell in enumerate(cells) if cell]
    empty = len(cells) - len(keep)
    if not empty:
        return columns, []
    left = {name: [column[at] for at in keep] for name, column in columns.items()}
    parts, _ = _read_parts(table, columns, reading)
    blank = {part for part, cell in zip(parts, cells, strict=True) if not cell}
    tested = None not in blank and "train" not in blank and not blank & {parts[at] for at in keep}
    if not tested and empty > MOST_UNLABELLED * len(cells):
        raise DataError(
            f"The column {label!r} of {table} is empty in {empty} of {len(cells)} rows. Fill these cells or remove the "
            "rows (regraft predict is for pictures without a label), or name another column: --label-column NAME."
        )
    return left, [f"Left out, since their column {label!r} is empty: {empty} of {len(cells)} rows of {table}."]


def read_parts(table: Path, columns: Columns, column: str | None) -> Sequence[str | None]:
    """Return "train", "val" or "test" for every row; None for all without a column, or with an empty one."""
    if column is None or not any(columns[column]):
        return [None] * _count(columns)
    cells = filled(table, columns, column)
    parts = {cell: part_called(cell) for cell in set(cells)}
    if strange := sorted(cell for cell, part in parts.items() if part is None):
        raise DataError(
            f"The column {column!r} of {table} holds {name_some(map(repr, strange))}; expected train, val or test. "
            "Name the column of the parts with --split-column, or rename this one."
        )
    return [parts[cell] for cell in cells]


def _read_parts(table: Path, columns: Columns, reading: Reading) -> tuple[Sequence[str | None], list[str]]:
    """Return the part of every row; the numbers of a column that was found and not asked for are no parts."""
    if reading.split_column is not None:
        return read_parts(table, columns, _named(table, columns, reading.split_column, "--split-column")), []
    numbered = []
    for column in _found(columns, PART_COLUMNS):
        if all(_is_number(cell) for cell in columns[column]):
            numbered.append(column)
        else:
            return read_parts(table, columns, column), _unused(table, columns, numbered)
    return read_parts(table, columns, None), _unused(table, columns, numbered)


def _unused(table: Path, columns: Columns, numbered: Sequence[str]) -> list[str]:
    counts = {column: len(set(columns[column])) for column in numbered}
    return [
        f"The column {column!r} of {table} holds {count} different numbers, no parts, and is not used; --folds {count} "
        "makes folds of its own."
        for column, count in counts.items()
        if count > 1
    ]


def _read_groups(
    table: Path, columns: Columns, names: Sequence[str], reading: Reading
) -> tuple[Sequence[str | None], list[str]]:
    """Return the group of every row, and a notice when the column was found and not asked for."""
    column = find(columns, [reading.groups] if reading.groups is not None else GROUP_COLUMNS)
    cells = columns[column] if column else []
    asked = reading.groups is not None
    if column is None or (not asked and len(set(cells) - {""}) < 2):  # one source for all parts nothing
        return [None] * _count(columns), []
    if not any(cells):
        raise DataError(f"The column {column!r} of {table} is empty: it groups nothing. Leave out --groups {column}.")
    notices = [] if asked else [f"Grouped by the column {column!r} of {table}; --groups '.+' groups nothing."]
    if empty := cells.count(""):
        notices.append(
            f"The column {column!r} of {table} is empty in {empty} of {len(cells)} rows: each of these pictures is a "
            "group of its own."
        )
    return [cell or name for cell, name in zip(cells, names, strict=True)], notices


def _once(table: Path, rows: Sequence[Row]) -> tuple[list[Row], list[str]]:
    """Return each picture once. What is listed twice must say the same."""
    by_path: dict[Path, list[Row]] = defaultdict(list)
    for row in rows:
        by_path[row.path].append(row)
    twice = [same for same in by_path.values() if len(same) > 1]
    for what in ("label", "part", "group"):
        if torn := [same for same in twice if len({getattr(row, what) for row in same}) > 1]:
            said = name_some(dict.fromkeys(str(getattr(row, what)) for row in torn[0]))
            raise DataError(
                f"{table} lists {len(torn)} pictures with more than one {what}: {torn[0][0].name} ({said}). Keep one "
                f"row for each picture, or name another column: --{_OPTIONS[what]} NAME."
            )
    notice = f"{len(rows) - len(by_path)} rows of {table} say the same as another and count once: "
    return [same[0] for same in by_path.values()], [notice + name_some(s[0].name for s in twice) + "."] * bool(twice)


_OPTIONS = {"label": "label-column", "part": "split-column", "group": "groups"}


def _count(columns: Columns) -> int:
    return len(next(iter(columns.values())))


def _name(path: Path, table: Path, images: Path | None) -> str:
    """Return what a picture is called: its path below the table's folder, else below that of the pictures."""
    roots = [table.parent, *([images.absolute()] if images else [])]
    root = next((root for root in roots if path.is_relative_to(root)), None)
    return (path.relative_to(root) if root else path).as_posix()
