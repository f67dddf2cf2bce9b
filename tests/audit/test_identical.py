from pathlib import Path

from regraft.audit.identical import duplicates_across_parts, label_conflicts
from regraft.data import Item
from regraft.errors import BadImage

ITEMS = [
    Item(Path("/a/1"), "a/1", label=0, part="train"),
    Item(Path("/b/2"), "b/2", label=1, part="train"),
    Item(Path("/b/3"), "b/3", label=1, part="test"),
    Item(Path("/b/4"), "b/4", label=1, part="test"),
]


def test_one_picture_in_two_classes_is_found():
    finding = label_conflicts(ITEMS, ["x", "x", "y", "z"])
    assert finding.pictures == [("a/1", "b/2")]
    assert finding.notice == "1 picture lies in more than one class: a/1 = b/2."


def test_one_picture_in_two_parts_is_found():
    finding = duplicates_across_parts(ITEMS, ["w", "x", "x", "y"])
    assert finding.pictures == [("b/2", "b/3")]
    assert "more than one part or fold: b/2 = b/3" in finding.notice


def test_twins_of_one_class_and_part_and_unreadable_files_are_no_findings():
    for find in (label_conflicts, duplicates_across_parts):
        assert find(ITEMS, [BadImage("0 bytes"), BadImage("0 bytes"), "x", "x"]) == ([], "")


def test_the_notice_names_three_and_counts_the_rest():
    items = [Item(Path(f"/{n}"), str(n), label=n % 2) for n in range(10)]
    notice = label_conflicts(items, [str(n // 2) for n in range(10)]).notice
    assert notice == "5 pictures lie in more than one class: 0 = 1, 2 = 3, 4 = 5 and 2 more."
