"""Corrected labels are obeyed, told, and refused where they do not fit the data."""

from __future__ import annotations

from pathlib import Path

import pytest

from regraft.config import Config
from regraft.data import corrected, read_corrections, scan
from regraft.errors import ConfigError, DataError, UnknownName

HEADER = "filename,was,verdict,label\n"


def test_pictures_get_other_classes_or_are_left_out_and_that_is_said(drawn: Path) -> None:
    manifest = scan(drawn)
    found = corrected(
        manifest,
        HEADER
        + "red/red0.png,red,wrong,blue\n"
        + "red/red1.png,red,unusable,\n"
        + "red/red2.png,red,wrong,\n"
        + "red/red3.png,red,right,red\n",
    )
    labels = {item.name: found.classes[item.label] for item in found.items}
    assert found.counts() == {"blue": 9, "green": 8, "red": 5, "yellow": 8}
    assert (labels["red/red0.png"], labels["red/red3.png"]) == ("blue", "red")
    assert {"red/red1.png", "red/red2.png"}.isdisjoint(labels)
    assert found.notices[-1] == (
        "Corrected by hand: 1 picture with another class, 2 pictures left out, 1 picture confirmed."
    )
    assert corrected(manifest, None) is manifest


@pytest.mark.parametrize(
    "text",
    [
        "label,filename\nblue,red/red0.png\n",
        "filename;label\nred/red0.png;blue\n",
        "Filename\tLabel\nred/red0.png\tblue\n",
    ],
)
def test_a_table_by_hand_needs_two_columns(drawn: Path, text: str) -> None:
    assert corrected(scan(drawn), text).counts()["blue"] == 9


def test_names_that_a_spreadsheet_would_compute_and_names_with_commas_come_back() -> None:
    found = read_corrections(HEADER + '"\'=a,""b"".png",x,wrong,\'-y\n-1.png,x,wrong,-1\n')
    assert [(one.filename, one.label) for one in found] == [('=a,"b".png', "-y"), ("-1.png", "-1")]


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        (HEADER + "red/gone.png,red,wrong,blue\n", DataError, "1 picture that .* does not have: red/gone.png"),
        (HEADER + "red/red0.png,red,wrong,bleu\n", UnknownName, "Unknown class 'bleu'. Did you mean blue"),
        (HEADER + "red/red0.png,blue,wrong,green\n", DataError, "had another class when .*'blue', and now 'red'"),
        (HEADER + "red/red0.png,red,perhaps,blue\n", UnknownName, "Unknown verdict 'perhaps'"),
        (HEADER + "red/red0.png,red,,\n", DataError, "neither a label nor a verdict"),
        (HEADER + "a,red,wrong,blue\na,red,wrong,green\n", DataError, "two things of a"),
        (HEADER + "red/red0.png,red\n", DataError, "2 cells in the row of 'red/red0.png', not 4"),
        ("name,label\na,b\n", DataError, "no column 'filename'"),
        ("\n", DataError, "no column 'filename'"),
        (HEADER + '"red', DataError, "no table"),
    ],
)
def test_what_does_not_fit_the_data_is_refused_in_one_line(
    drawn: Path, text: str, error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said) as raised:
        corrected(scan(drawn), text)
    assert len(str(raised.value).splitlines()) == 1


def test_settings_keep_what_is_in_the_file(tmp_path: Path) -> None:
    """So equal tables are equal settings, wherever they lie and on whatever system they were written."""
    (tmp_path / "a.csv").write_bytes(b"\xef\xbb\xbffilename,label\r\nx.png,red\r\n")
    (tmp_path / "b.csv").write_bytes(b"filename,label\nx.png,red")
    kept = [Config(corrections=given) for given in (tmp_path / "a.csv", str(tmp_path / "b.csv"))]
    (tmp_path / "a.csv").unlink()
    assert kept[0] == kept[1] == Config.from_dict(kept[0].as_dict())
    assert kept[0].corrections == "filename,label\nx.png,red\n"
    with pytest.raises(ConfigError, match=r"a\.csv.* is no file"):
        Config(corrections=tmp_path / "a.csv")
    with pytest.raises(ConfigError, match="is no file"):
        Config(corrections=tmp_path)
    (tmp_path / "a.csv").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="cannot be read"):
        Config(corrections=tmp_path / "a.csv")
