"""However many pictures are named, they are listed one by one, in the order in which a few are."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from regraft.data import each_listed, gathered, named_by
from regraft.data import named as places
from regraft.errors import DataError, DataMissing
from regraft.utils.progress import Progress

NAMES = ["b/2.png", "b/10.png", "b.png", "b-1/x.png", "a/1.png", "A/1.png", "a01.png", "a1.png", "ä/ö ü.png"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in (*NAMES, "a/notes.txt", "b/drawing.svg", ".hidden/1.png"):
        path = tmp_path / "pictures" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4)).save(path, "PNG")
    return tmp_path / "pictures"


def listed(pictures: object) -> list[str]:
    return [one.name for one in each_listed(pictures, Progress())]  # type: ignore[arg-type]


@pytest.mark.parametrize("at_once", [2, 3, 100])
@pytest.mark.parametrize("named", ["", "**/*.png", "*", "a*"])
def test_the_order_is_that_of_a_few_pictures_however_many_are_held_at_once(
    named: str, at_once: int, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with gathered(folder / named) as found:  # sorted as a whole
        monkeypatch.setattr(places, "SORTED_AT_ONCE", at_once)
        assert listed(folder / named) == [one.name for one in found]


LISTS = {
    "plain.txt": "b/2.png\n\na, b.png\nb/10.png\n",
    "header.txt": "filename,label\nb/2.png,x\n'a, b.png',y\nb/10.png,x\n".replace("'", '"'),
    "bare.csv": 'b/2.png\n"a, b.png"\nb/10.png\n',
    "named.csv": "\N{ZERO WIDTH NO-BREAK SPACE}id;Image Path\n1;b/2.png\n2;a, b.png\n3;\n4;b/10.png\n",
    "named.tsv": "id\tpath\n1\tb/2.png\n2\ta, b.png\n3\tb/10.png\n",
    "rows.jsonl": '{"n": 1, "file": "b/2.png"}\n{"n": 2, "file": "a, b.png"}\n{"file": "b/10.png"}\n',
}


@pytest.mark.parametrize("name", LISTS)
def test_a_list_names_pictures_in_its_order_by_what_it_calls_them(name: str, folder: Path) -> None:
    (folder / name).write_text(LISTS[name], encoding="utf-8")
    found = list(each_listed(folder / name, Progress()))
    assert [one.name for one in found] == ["b/2.png", "a, b.png", "b/10.png"]
    assert [one.path for one in found] == [folder / one.name for one in found]
    with gathered(folder / name) as few:
        assert few == found


def test_a_table_of_parquet_or_excel_names_pictures(folder: Path) -> None:
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame({"id": [1, 2], "path": ["b/2.png", "b/10.png"]})
    table.to_parquet(folder / "list.parquet")
    table.to_excel(folder / "list.xlsx", index=False)
    assert listed(folder / "list.parquet") == listed(folder / "list.xlsx") == ["b/2.png", "b/10.png"]


def test_paths_that_are_not_beside_the_list_are_from_here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    (folder / "a" / "list.txt").write_text("b/2.png\nb/10.png\n")
    assert [one.path for one in each_listed("a/list.txt", Progress())] == [Path("b/2.png"), Path("b/10.png")]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("no.csv", "a,b\n1,2\n", "has no path column: found a, b"),
        ("empty.txt", "\n", "lists no pictures"),
        ("web.txt", "https://x.org/a.png\n", "download them first"),
        ("broken.parquet", "PAR1", "cannot be read as a list of pictures"),
        ("broken.jsonl", "{", "cannot be read as a list of pictures"),
    ],
)
def test_what_is_no_list_is_refused(name: str, content: str, says: str, folder: Path) -> None:
    (folder / name).write_text(content)
    with pytest.raises(DataError, match=says):
        listed(folder / name)


def test_what_is_not_there_is_refused(folder: Path) -> None:
    with pytest.raises(DataMissing, match="does not exist"):
        listed(folder / "none.png")
    with pytest.raises(DataMissing, match="No file matches"):
        listed(folder / "*.gif")


def test_a_list_that_was_changed_is_another_one(folder: Path) -> None:
    (folder / "list.txt").write_text("b/2.png\n")
    before = named_by(folder / "list.txt")
    assert named_by([folder / "list.txt"]) == before != named_by(folder)
    (folder / "list.txt").write_text("b/10.png\n")
    assert named_by(folder / "list.txt") != before
