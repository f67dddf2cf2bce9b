"""A table in a window of any width: names are folded where there is no room, numbers are whole."""

from __future__ import annotations

import csv

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.cells import cell_len

from regraft.backbones import build
from regraft.config import Config
from regraft.methods import plan
from regraft.methods._plan import stage_table
from regraft.utils.tables import fold, print_table, write_to

NAMES = (
    "red",
    "Plasmodium_falciparum_late_trophozoite_stage_with_pigment",
    "熱帯熱マラリア原虫の後期栄養体段階の画像クラス名がとても長い場合",
    "малярия, поздний трофозоит, с пигментом, окраска по Романовскому",
    "[bold]a name with spaces and brackets[/bold] that is quite long",
    "x" * 200,
)
HEADER = ("class", "accuracy", "95 % interval", "AUROC", "ms a picture", "pictures")
NUMBERS = ("0.950", "0.900 to 1.000", "0.999", "1234.5", "123456")


@given(
    text=st.text(st.characters(exclude_categories=["C", "Z", "M"]) | st.just(" "), max_size=60),
    width=st.integers(2, 40),
)
@example(text="late_trophozoite stage", width=10)
def test_a_folded_text_fits_and_loses_nothing_but_blanks_at_line_ends(text: str, width: int) -> None:
    lines = fold(text, width).split("\n")
    assert max(map(cell_len, lines)) <= width
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")


def test_a_text_is_folded_between_words_where_it_can() -> None:
    assert fold("late_trophozoite stage", 12) == "late_\ntrophozoite\nstage"
    assert fold("runs/cells-2: a/b.png", 12) == "runs/cells-\n2: a/b.png"
    assert fold("abcdefgh", 3) == "abc\ndef\ngh"
    assert fold("short", 12) == "short"


@pytest.mark.parametrize("width", [30, 60, 80, 100, 200, 300])
def test_numbers_are_whole_in_every_window_and_every_name_can_be_read(width, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", str(width))
    print_table("Title", HEADER, [(name, *NUMBERS) for name in NAMES])
    title, *lines = capsys.readouterr().out.splitlines()
    assert title == "Title"
    needed = 16 + sum(map(len, ("accuracy", "0.900 to 1.000", "0.999", "picture", "pictures"))) + 5 * 2 + 2
    assert max(map(cell_len, lines)) <= max(width, needed)
    assert sum(all(number in line for number in NUMBERS) for line in lines) == len(NAMES)
    shown = "".join(line.split("0.950")[0] for line in lines).replace(" ", "")
    for name in NAMES:
        assert name.replace(" ", "") in shown


def test_where_there_is_room_nothing_is_folded(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "300")
    print_table("", HEADER, [(name, *NUMBERS) for name in NAMES])
    assert len(capsys.readouterr().out.strip().splitlines()) == 2 + len(NAMES)


def test_text_in_the_last_column_is_folded_there(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "60")
    print_table(
        "", ("kind", "found", "such as"), [("label-conflict", "12", "a/b.png = c/d.png: the same " * 3)], text=2
    )
    lines = capsys.readouterr().out.rstrip().splitlines()
    assert max(map(len, lines)) <= 60
    assert lines[3].startswith(" label-conflict     12  a/b.png = c/d.png:")
    assert all(line.startswith(" " * 24) for line in lines[4:])


def test_a_table_of_nothing_is_its_header(capsys):
    print_table("", ("class", "precision"), [])
    assert capsys.readouterr().out.split() == ["class", "precision", "─" * 17]


@pytest.mark.parametrize("name", ["densenet201", "inception_v3", "inception_resnet_v2"])
def test_a_table_of_stages_fits_80_columns(name):
    backbone = build(name)
    table = stage_table(backbone, plan(backbone, Config(method="finetuned", backbone=name)))
    assert max(map(len, table.splitlines())) <= 80


@given(name=st.text(st.characters(codec="utf-8"), min_size=1))
@example(name="hos/a/cr\rx.jpg")
@example(name='a,"b"\r\n')
def test_every_reader_cuts_a_csv_of_predictions_into_its_rows(
    name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "predictions.csv"
    with path.open("wb") as made:
        write_to(made, "csv", [{"filename": name, "label": "red"}, {"filename": "b.jpg", "label": "blue"}])
    with path.open(encoding="utf-8", newline="") as file:
        header, first, second = csv.reader(file, strict=True)
    assert header == ["filename", "label"]
    assert first in ([name, "red"], [f"'{name}", "red"])
    assert second == ["b.jpg", "blue"]
