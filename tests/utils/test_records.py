"""What a JSON file holds is what was meant, or it is refused where it is read."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta

from regraft.utils.records import fitted, read_json, to_json

texts = st.text() | st.binary().map(os.fsdecode)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner) | st.dictionaries(texts, inner),
    max_leaves=20,
)


@given(values)
def test_any_value_comes_back_from_a_file_also_names_that_are_no_text(value: object) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "values.json"
        path.write_bytes(to_json(value))
        assert read_json(path) == value


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_what_is_no_number_is_not_known(tmp_path: Path, number: float) -> None:
    (tmp_path / "values.json").write_bytes(to_json({"a": [number, (1.5, number)]}))
    assert read_json(tmp_path / "values.json") == {"a": [None, [1.5, None]]}


@pytest.mark.parametrize("text", ["NaN", "Infinity", "1e999"])
def test_what_is_no_number_is_not_believed_either(tmp_path: Path, text: str) -> None:
    (tmp_path / "values.json").write_text(text)
    assert read_json(tmp_path / "values.json") is None


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"[" * 200_000, "nested too deeply"),
        (b"1" * 10_000, "limit"),
        (b"\xff\xfe{\0}\0", "utf-8"),
        (b"", "Expecting value"),
        (b"{} {}", "Extra data"),
    ],
)
def test_what_no_run_has_written_is_a_plain_error(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "values.json").write_bytes(content)
    with pytest.raises(ValueError, match=said):
        read_json(tmp_path / "values.json")


def test_a_file_that_would_take_all_memory_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "values.json").open("wb") as file:
        file.truncate(50 << 30)  # takes no room on the disk
    with pytest.raises(ValueError, match="larger than 100 MB"):
        read_json(tmp_path / "values.json")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no named pipes")
def test_a_pipe_does_not_hold_anyone_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "values.json")
    with pytest.raises(ValueError, match="no file"):
        read_json(tmp_path / "values.json")


@dataclass(frozen=True)
class Head:
    width: Annotated[int, Meta(ge=1)]
    dropout: float = 0.5
    names: tuple[str, ...] = ()
    source: Path | None = None
    more: dict[str, float] = field(default_factory=dict)


def test_values_become_what_was_written() -> None:
    found = fitted({"width": 3, "dropout": 1, "names": ["a"], "source": "runs/a", "more": {"b": 2}}, Head)
    assert found == Head(3, 1.0, ("a",), Path("runs/a"), {"b": 2.0})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"width": "3"}, "head.width: expected int, got str"),
        ({"width": True}, "head.width: expected int, got bool"),
        ({"width": 3.5}, "head.width: expected int, got float"),
        ({"width": 0}, "head.width: expected int >= 1"),
        ({"dropout": None}, "head.dropout: expected float, got null"),
        ({"names": "abc"}, "head.names: expected array, got str"),
        ({"names": ["a", 1]}, r"head.names\[1\]: expected str, got int"),
        ({"source": 7}, "head.source: expected text, got int"),
        ({"more": {"b": "2"}}, r"head.more\[...\]: expected float, got str"),
        ({"hidden": 3}, "head has an unknown entry 'hidden'"),
    ],
)
def test_a_value_that_is_not_meant_is_named_with_its_place(change: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        fitted({"width": 3, **change}, Head, "head")


def test_a_number_that_no_float_can_hold_is_refused() -> None:
    with pytest.raises(ValueError, match=r"dropout|too large"):
        fitted({"width": 3, "dropout": 10**400}, Head)


def test_a_missing_value_and_another_kind_of_whole_are_refused() -> None:
    with pytest.raises(ValueError, match="width"):
        fitted({}, Head)
    with pytest.raises(ValueError, match="expected object, got array"):
        fitted([], Head)


def test_more_entries_are_passed_over_where_that_is_meant() -> None:
    assert fitted({"width": 3, "hidden": 3}, Head, others=True) == Head(3)
