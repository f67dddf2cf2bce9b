"""What a command prints arrives, or the command fails; and it cannot command the terminal."""

from __future__ import annotations

import json
import os
import string
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from regraft.utils.streams import one_line, printable, printable_json

REGRAFT = [sys.executable, "-c", "from regraft.cli.commands import main; main()"]
LOST = "Error: The output could not be written (No space left on device): what is there is cut off."
DANGEROUS = "\x1b]0;gone\x07\x1b[2J\r\x9b31m\u202egnp\u2066"


def run(*arguments: object, **streams: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*REGRAFT, *map(str, arguments)], text=True, **{"stderr": subprocess.PIPE, **streams})


# what is lost


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("arguments", [["models"], ["models", "--json"], ["--help"]])
def test_output_that_does_not_arrive_is_an_error(arguments: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        done = run(*arguments, stdout=full)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert done.stderr.startswith(LOST)


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_output_that_fills_the_disk_is_an_error(
    tiny_disk: Path, monkeypatch: pytest.MonkeyPatch, unbuffered: str
) -> None:
    """There is room for the first half: what is cut off looks whole to whoever reads it later."""
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    (tiny_disk / "filled").write_bytes(bytes(60 << 10))
    with (tiny_disk / "answers.json").open("w") as file:
        done = run("models", "--json", stdout=file)
    assert (done.returncode, done.stderr.splitlines()[-1].startswith(LOST)) == (1, True)


def test_a_reader_that_has_enough_ends_a_command_without_a_word() -> None:
    with subprocess.Popen([*REGRAFT, "models", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as command:
        assert command.stdout is not None
        assert command.stderr is not None
        command.stdout.close()
        assert (command.stderr.read(), command.wait()) == (b"", 141)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no shell that closes a stream")
@pytest.mark.parametrize(("closed", "status"), [(">&-", 1), ("2>&-", 0), ("<&-", 0), (">&- 2>&- <&-", 1)])
def test_a_closed_stream_is_never_another_file(closed: str, status: int) -> None:
    command = ["sh", "-c", f'"$@" {closed}', "sh", *REGRAFT, "models", "--json"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == status
    assert "Traceback" not in done.stderr
    assert done.stdout.startswith('{"rows"') == (status == 0)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_progress_that_nobody_can_read_ends_no_command(small_run: Path, shapes: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = run("predict", small_run, shapes / "red" / "red0.png", stdout=subprocess.PIPE, stderr=full)
    assert done.returncode == 0
    assert done.stdout.startswith(str(shapes))


# what a terminal would obey


@given(st.text())
def test_what_is_shown_holds_no_control_characters(text: str) -> None:
    shown = printable(text)
    assert all(one.isprintable() or one in "\n\t" or not one.isascii() for one in shown)
    assert not {"\x1b", "\x9b", "\u202e", "\u2066", "\r"} & set(shown)
    assert not {"\n", "\t"} & set(one_line(text))


@given(st.text(string.printable.translate({ord(c): None for c in "\r\x0b\x0c"}) + "äß漢字é́🙂 ؀"))
def test_what_is_no_control_character_stays_as_it_is(text: str) -> None:
    assert printable(text) == text


@given(st.lists(st.text()))
def test_json_that_is_shown_is_read_back_as_the_same_values(values: list[str]) -> None:
    assert json.loads(printable_json(json.dumps(values, ensure_ascii=False))) == values


@pytest.fixture
def dangerous(drawn: Path) -> Path:
    """Pictures under a class with a dangerous name, two of them alike, one that cannot be read."""
    folder = drawn.rename(drawn.with_name("pictures" + DANGEROUS.replace("/", "")))
    (folder / "red").rename(folder / f"red{DANGEROUS}")
    for number, path in enumerate(sorted((folder / f"red{DANGEROUS}").iterdir())):
        path.rename(path.with_name(f"{number}\n{DANGEROUS}.png"))
    Image.open(path.with_name(f"0\n{DANGEROUS}.png")).save(folder / "blue" / f"copy{DANGEROUS}.png")
    (folder / "blue" / f"bad{DANGEROUS}.png").write_bytes(b"")
    return folder


@pytest.mark.skipif(os.name == "nt", reason="Windows knows no such names")
def test_no_name_of_a_file_or_class_reaches_the_terminal_as_a_command(
    regraft: Callable[..., Any], dangerous: Path, tmp_path: Path
) -> None:
    out = tmp_path / f"run{DANGEROUS}"
    small = ("--img-size", 64)
    answers = [
        regraft("train", dangerous, *small, "--epochs", 2, "--out", out),
        regraft("train", dangerous, *small, "--epochs", 2, "--out", out, "--resume"),
        regraft("predict", out, dangerous),
        regraft("predict", out, dangerous, "--json"),
        regraft("eval", out, dangerous),
        regraft("explain", out, dangerous, "-o", tmp_path / f"heat{DANGEROUS}"),
        regraft("check", dangerous, *small, "--out", tmp_path / f"check{DANGEROUS}"),
        regraft("check", dangerous, *small, "--out", tmp_path / f"check{DANGEROUS}", "--json"),
        regraft("features", out, dangerous, "-o", tmp_path / f"rows{DANGEROUS}.npz"),
        regraft("train", dangerous / "blue" / f"bad{DANGEROUS}.png"),
        regraft("train", dangerous / f"nothing{DANGEROUS}"),
        regraft("predict", out, dangerous / "blue" / f"bad{DANGEROUS}.png"),
    ]
    assert [answer.status for answer in answers] == [0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1]
    for answer in answers:
        assert "Traceback" not in answer.err
        for text in answer:
            assert isinstance(text, int) or not {"\x1b", "\x07", "\r", "\x9b", "\u202e", "\u2066"} & set(text)
        assert "\\x1b" in answer.out + answer.err or "\\u001b" in answer.out
    for page in (out / "report.html", next(tmp_path.glob("check*/check.html"))):
        text = page.read_text(encoding="utf-8")
        assert not {"\x1b", "\x07", "\x9b", "\u202e", "\u2066"} & set(text)
        assert "\\x1b]0;gone" in text
