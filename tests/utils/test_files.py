"""A file is there whole or not at all, whatever ends its writing."""

from __future__ import annotations

import contextlib
import csv
import errno
import hashlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from regraft.errors import NotWritten, RunError
from regraft.training import checkpoints
from regraft.utils.files import obstacle, read_csv, remove_folder, sha256, whole, write_bytes, write_csv

ENDINGS = [ValueError, OSError, KeyboardInterrupt, SystemExit, GeneratorExit]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def half_a_file(path: Path, ending: type[BaseException]) -> None:
    with whole(path) as temporary, temporary.open("wb") as file:
        file.write(b"half")
        raise ending("why")


def half_a_folder(path: Path, ending: type[BaseException]) -> None:
    with whole(path) as temporary:
        (temporary / "red").mkdir(parents=True)
        (temporary / "red" / "1.png").write_bytes(b"x")
        raise ending("why")


def test_a_file_appears_when_it_is_whole_and_nothing_stays_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "answers.csv"
    with whole(path) as temporary, temporary.open("wb") as file:
        for _ in range(100):
            file.write(b"x" * 10_000)
            assert not path.exists()
    assert path.read_bytes() == b"x" * 1_000_000
    assert names(tmp_path) == ["answers.csv"]


def test_an_earlier_file_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "answers.csv"
    write_bytes(path, b"earlier")
    with whole(path) as temporary:
        temporary.write_bytes(b"new")
        assert path.read_bytes() == b"earlier"
    assert path.read_bytes() == b"new"
    assert names(tmp_path) == ["answers.csv"]


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("earlier", [None, b"earlier"])
def test_an_error_leaves_the_earlier_content_and_no_temporary_file(
    tmp_path: Path, earlier: bytes | None, ending: type[BaseException]
) -> None:
    path = tmp_path / "answers.csv"
    if earlier is not None:
        path.write_bytes(earlier)
    with pytest.raises(ending, match="why"):
        half_a_file(path, ending)
    assert names(tmp_path) == ([] if earlier is None else ["answers.csv"])
    assert earlier is None or path.read_bytes() == earlier


def test_an_error_before_anything_is_written_is_told_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), whole(tmp_path / "answers.csv"):
        raise ZeroDivisionError
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ValueError, match="why"), whole(tmp_path / "file" / "answers.csv"):
        raise ValueError("why")
    assert names(tmp_path) == ["file"]


WRITE = """
import signal, sys
from pathlib import Path
from regraft.utils.files import whole
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore Ctrl-C
with whole(Path(sys.argv[1])) as temporary, temporary.open("wb") as file:
    file.write(b"half")
    file.flush()
    print("begun", flush=True)
    sys.stdin.readline()
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows sends no signals")
@pytest.mark.parametrize(("name", "left"), [("SIGINT", 0), ("SIGKILL", 1)])
def test_ctrl_c_and_kill_9_leave_the_earlier_file(tmp_path: Path, name: str, left: int) -> None:
    path = tmp_path / "answers.csv"
    write_bytes(path, b"earlier")
    command = [sys.executable, "-c", WRITE, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"begun\n"
        writer.send_signal(signal.Signals[name])
        assert writer.wait(60) != 0
    assert path.read_bytes() == b"earlier"
    assert len(list(tmp_path.glob("*.tmp"))) == left  # after kill -9 nobody was left to remove it
    assert len(names(tmp_path)) == 1 + left


@pytest.mark.skipif(os.name == "nt", reason="Windows does not say whether a process runs")
def test_what_a_killed_process_left_goes_when_the_folder_is_written_again(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WRITE, str(tmp_path / "answers.csv")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        writer.kill()
    assert len(names(tmp_path)) == 1
    write_bytes(tmp_path / "other.csv", b"")
    assert names(tmp_path) == ["other.csv"]


def test_what_another_process_writes_now_and_what_is_not_ours_stays(tmp_path: Path) -> None:
    with whole(tmp_path / "mine.csv") as mine:
        mine.write_bytes(b"half")
        stay = ["notes.tmp", ".hidden.tmp", f".{'0' * 8}-1-{'a' * 32}.tmp", f".{'b' * 32}.tmp"]
        for name in stay:  # of a person, of another program, of another machine, of an earlier version
            (tmp_path / name).write_bytes(b"")
        write = "import pathlib as p, sys; from regraft.utils import files; files.write_bytes(p.Path(sys.argv[1]), b'')"
        subprocess.run([sys.executable, "-c", write, str(tmp_path / "other.csv")], check=True)
        assert names(tmp_path) == sorted([mine.name, "other.csv", *stay])


@pytest.mark.parametrize("name", [f".{'0' * 8}-1-{'a' * 32}.tmp", f".{'b' * 32}.tmp"])
def test_what_was_left_a_day_ago_goes_wherever_it_was_written(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "part").write_bytes(b"")
    os.utime(tmp_path / name, (0, 0))
    write_bytes(tmp_path / "other.csv", b"")
    assert names(tmp_path) == ["other.csv"]


def test_a_full_disk_names_the_file_that_was_wanted_and_keeps_the_earlier_one(tiny_disk: Path) -> None:
    write_bytes(tiny_disk / "answers.csv", b"earlier")
    with pytest.raises(NotWritten, match=rf"^{tiny_disk}/answers.csv could not be written: No space left.*Make room"):
        write_bytes(tiny_disk / "answers.csv", bytes(100_000))
    assert (names(tiny_disk), (tiny_disk / "answers.csv").read_bytes()) == (["answers.csv"], b"earlier")


def test_a_full_disk_is_the_same_error_for_whoever_writes(tiny_disk: Path) -> None:
    """PyTorch, safetensors and Python: each has an error of its own."""
    wide = torch.zeros(100_000)
    writers = [
        lambda path: checkpoints._write({"wide": wide}, path),
        lambda path: _whole(path, lambda file: save_file({"wide": wide}, file)),
        lambda path: write_bytes(path, wide.numpy().tobytes()),
    ]
    for write in writers:
        with pytest.raises(NotWritten) as told:
            write(tiny_disk / "wide")
        assert (told.value.errno, told.value.filename) == (errno.ENOSPC, str(tiny_disk / "wide"))
        assert names(tiny_disk) == []


def _whole(path: Path, write: Callable[[Path], object]) -> None:
    with whole(path) as temporary:
        write(temporary)


def test_folders_that_were_made_for_what_failed_do_not_stay(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="why"):
        half_a_folder(tmp_path / "runs" / "of" / "mine", ValueError)
    assert names(tmp_path) == []


@pytest.mark.parametrize("name", ["n" * 200, "n" * 251 + ".csv", "größer, 写真.csv", ".hidden"])
def test_any_name_that_the_system_takes_can_be_written(tmp_path: Path, name: str) -> None:
    for content in (b"earlier", b"new"):
        write_bytes(tmp_path / name, content)
    assert (tmp_path / name).read_bytes() == b"new"
    assert names(tmp_path) == [name]


@pytest.mark.parametrize("size", [0, 1, 1 << 20, (1 << 20) + 1])
def test_a_file_s_sha256_is_that_of_its_whole_content(tmp_path: Path, size: int) -> None:
    content = np.random.default_rng(size).bytes(size)
    (tmp_path / "tensors").write_bytes(content)
    assert sha256(tmp_path / "tensors") == hashlib.sha256(content).digest()


def test_a_relative_name_is_written_where_it_points(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_bytes(Path("answers.csv"), b"new")
    assert names(tmp_path) == ["answers.csv"]


AGAIN = """
import sys
from pathlib import Path
from regraft.utils.files import write_bytes
content = sys.argv[2].encode() * 200_000
print("ready", flush=True)
sys.stdin.readline()
for _ in range(100):
    write_bytes(Path(sys.argv[1]), content)
"""


def test_two_writers_at_once_leave_one_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "answers.csv"
    write_bytes(path, b"c" * 200_000)
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", AGAIN, str(path), letter], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for letter in "ab"
    ]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("go\n")
        writer.stdin.flush()
    while any(writer.poll() is None for writer in writers):
        assert path.read_bytes() in (b"a" * 200_000, b"b" * 200_000, b"c" * 200_000)  # whole at every moment
    for writer in writers:
        writer.communicate()
    assert [writer.returncode for writer in writers] == [0, 0]
    assert path.read_bytes() in (b"a" * 200_000, b"b" * 200_000)
    assert names(tmp_path) == ["answers.csv"]


# ---- folders --------------------------------------------------------------------------------------------------------


def test_a_folder_appears_when_it_is_whole(tmp_path: Path) -> None:
    with whole(tmp_path / "cells") as temporary:
        (temporary / "red").mkdir(parents=True)
        (temporary / "red" / "1.png").write_bytes(b"x")
        assert not (tmp_path / "cells").exists()
    assert (tmp_path / "cells" / "red" / "1.png").read_bytes() == b"x"
    assert names(tmp_path) == ["cells"]


@pytest.mark.parametrize("ending", ENDINGS)
def test_an_error_leaves_no_half_made_folder(tmp_path: Path, ending: type[BaseException]) -> None:
    with pytest.raises(ending, match="why"):
        half_a_folder(tmp_path / "cells", ending)
    assert names(tmp_path) == []


@pytest.mark.parametrize("ending", [None, OSError])
def test_a_folder_that_is_there_instead_of_an_earlier_one_leaves_one_of_the_two_whole(
    tmp_path: Path, ending: type[OSError] | None
) -> None:
    folder = tmp_path / "model"
    for name in ("earlier", "later"):
        with contextlib.suppress(OSError), whole(folder, instead=True) as temporary:
            temporary.mkdir()
            (temporary / name).touch()
            assert names(folder) == ["earlier"] if name == "later" else not folder.exists()
            if ending and name == "later":
                raise ending
    assert names(folder) == ["earlier" if ending else "later"]
    assert names(tmp_path) == ["model"]


def test_a_folder_that_is_removed_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "checkpoints" / "head").mkdir(parents=True)
    (tmp_path / "checkpoints" / "head" / "best.ckpt").touch()
    for _ in range(2):  # where there is none, none is removed
        remove_folder(tmp_path / "checkpoints")
        assert names(tmp_path) == []


def test_a_folder_that_holds_something_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "cells").mkdir()
    (tmp_path / "cells" / "mine").write_text("not to be lost")
    with pytest.raises(OSError), whole(tmp_path / "cells") as temporary:
        temporary.mkdir()
    assert names(tmp_path) == ["cells"]
    assert (tmp_path / "cells" / "mine").read_text() == "not to be lost"


def test_where_a_file_can_be_written_nothing_is_in_the_way_and_nothing_is_left(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "new", tmp_path / "new" / ".." / "newer" / "yet"):
        assert obstacle(folder) == ""
    assert not names(tmp_path)


def test_what_keeps_a_folder_from_being_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    assert obstacle(tmp_path / "file" / "a" / "b") == f"{tmp_path / 'file'} is not writable (Not a directory)"
    assert obstacle(tmp_path / ("x" * 300)) == f"{tmp_path} is not writable (File name too long)"
    assert names(tmp_path) == ["file"]


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="this system has no /proc")
def test_where_not_even_root_may_write_is_no_place() -> None:
    assert obstacle(Path("/proc/run")).startswith("/proc is not writable (")
    assert obstacle(Path("/proc")).startswith("/proc is not writable (")


# ---- tables ---------------------------------------------------------------------------------------------------------

# what a file name can be: any characters, any bytes; and what spoils tables
texts = st.text() | st.binary().map(os.fsdecode) | st.text(alphabet="\r\n\t ,;\"'=+-@\u2028\ufeffa", max_size=5)


@given(header=st.lists(texts, min_size=1, max_size=4, unique=True), data=st.data())
def test_any_text_in_a_table_is_read_as_it_was_written(header: list[str], data: st.DataObject) -> None:
    wide = st.lists(texts, min_size=len(header), max_size=len(header))
    rows = data.draw(st.lists(wide, max_size=5))
    with TemporaryDirectory() as folder:
        path = Path(folder) / "table.csv"
        write_csv(path, header, rows)
        assert [list(row.values()) for row in read_csv(path, needed=header)] == rows


FORMULAS = ["=1+1", "+1+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", "'=1", "''-x", "=", "-"]


@given(st.lists(st.one_of(st.sampled_from(FORMULAS), st.text("'=+-@\t\r1x")), min_size=1, max_size=4))
def test_no_cell_is_a_formula_to_a_spreadsheet_and_each_is_read_as_it_was(cells: list[str]) -> None:
    """What begins with such a sign and is no number may send the table's content to a stranger."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "table.csv"
        write_csv(path, ["name"], [[cell] for cell in cells])
        with path.open(newline="") as file:
            (_, *shown) = list(csv.reader(file))
        assert all(re.fullmatch(r"[+-]?\d+", cell) or cell[:1] not in "=+-@\t\r" for (cell,) in shown if cell)
        assert [row["name"] for row in read_csv(path)] == cells


@pytest.mark.parametrize("cell", ["-1", "+1", "-0.5", "-1e-3", "1", "a", "'quoted'", "", -0.5, None, "rot=grün", "a-b"])
def test_numbers_and_other_names_are_written_as_they_are(tmp_path: Path, cell: object) -> None:
    write_csv(tmp_path / "table.csv", ["name", "other"], [[cell, "x"]])
    assert (tmp_path / "table.csv").read_text() == f"name,other\n{'' if cell is None else cell},x\n"


@pytest.mark.parametrize(
    "content",
    [b"", b"filename,split\na\n", b"filename,split\na,b,c\n", b'filename,split\n"a', bytes(100), b"name\na\n"],
)
def test_a_damaged_table_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "split.csv").write_bytes(content)
    with pytest.raises(RunError, match=r"split\.csv cannot be read") as refused:
        read_csv(tmp_path / "split.csv", needed=["filename", "split"])
    assert "\n" not in str(refused.value)


def test_an_absent_table_has_no_rows(tmp_path: Path) -> None:
    assert read_csv(tmp_path / "split.csv", needed=["filename"]) == []
