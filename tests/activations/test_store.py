"""Kept rows come back as they went in, whole or not at all, whoever else writes."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from regraft.activations import store as storing
from regraft.activations.store import Store, make_room, recipe_key
from regraft.errors import ActivationOverflow, CacheFull, StoreError
from regraft.utils.files import whole
from regraft.utils.machine import cache_folder

RECIPE = {"backbone": "resnet18", "weights": "abc", "view": 0}


def open_store(root: Path, shape: Sequence[int] = (3,), dtype: str = "float32", **recipe: Any) -> Store:
    return Store(root, {**RECIPE, **recipe}, shape, dtype)


def fill(store: Store, digests: Sequence[str], value: float = 1.0) -> Store:
    with store.writer() as writer:
        writer.add(digests, np.full((len(digests), *store.shape), value, store.dtype))
    return store


def files(root: Path) -> list[str]:
    return sorted(path.name for path in root.rglob("*") if path.is_file())


# ---- what goes in comes out -----------------------------------------------------------------------------------------


@settings(max_examples=60)
@given(data=st.data())
def test_rows_come_back_equal_in_any_order_and_after_reopening(data: st.DataObject) -> None:
    shape = tuple(data.draw(st.lists(st.integers(1, 5), max_size=3), "shape"))
    dtype = data.draw(st.sampled_from(["float16", "float32", "uint8"]), "dtype")
    count = data.draw(st.integers(1, 20), "count")
    rows = np.random.default_rng(count).integers(0, 200, (count, *shape)).astype(dtype)
    digests = [f"{number:032x}" for number in range(count)]
    order = data.draw(st.lists(st.integers(0, count - 1), min_size=1, max_size=30), "order")
    step = data.draw(st.integers(1, count), "rows added at once")
    with TemporaryDirectory() as folder:
        kept = open_store(Path(folder), shape, dtype)
        with kept.writer() as writer:
            for start in range(0, count, step):
                writer.add(digests[start : start + step], rows[start : start + step])
                if data.draw(st.booleans(), "a segment ends here"):
                    writer.finish()
        again = open_store(Path(folder), shape, dtype)
        for opened in (kept, again):
            found = opened.rows([digests[position] for position in order])
            assert found.dtype == np.dtype(dtype)
            np.testing.assert_array_equal(found, rows[order])
            assert len(opened) == count
            opened.close()


def test_segments_end_when_they_are_large_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storing, "SEGMENT_BYTES", 100)  # eight rows of three float32 fit, the ninth begins another
    kept = open_store(tmp_path)
    with kept.writer() as writer:
        for number in range(20):
            writer.add([str(number)], np.full((1, 3), number, np.float32))
    assert len(list(kept.folder.glob("*.rows"))) == 3
    assert kept.rows(["19", "0", "9"])[:, 0].tolist() == [19, 0, 9]


def test_a_row_that_was_not_kept_is_not_there(tmp_path: Path) -> None:
    kept = fill(open_store(tmp_path), ["a"])
    assert "a" in kept
    assert "b" not in kept
    assert "a" not in open_store(tmp_path, view=1)


def test_a_half_precision_row_is_rounded_to_the_nearest(tmp_path: Path) -> None:
    kept, row = open_store(tmp_path, dtype="float16"), np.array([[1 / 3, 65504.0, -1e-5]], np.float32)
    with kept.writer() as writer:
        writer.add(["a"], row)
    np.testing.assert_array_equal(kept.rows(["a"]), row.astype(np.float16))


# ---- a name for everything that rows depend on ----------------------------------------------------------------------

values = (
    st.none() | st.booleans() | st.integers(-1000, 1000) | st.text(max_size=8) | st.lists(st.integers(0, 9), max_size=3)
)
recipes = st.dictionaries(st.text(min_size=1, max_size=6), values, min_size=1, max_size=6)


@given(recipe=recipes, data=st.data())
def test_a_key_does_not_depend_on_the_order_of_the_parts(recipe: dict[str, Any], data: st.DataObject) -> None:
    shuffled = dict(data.draw(st.permutations(list(recipe.items()))))
    assert recipe_key(shuffled) == recipe_key(recipe)


@given(recipe=recipes, data=st.data())
def test_a_key_differs_when_any_part_differs(recipe: dict[str, Any], data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(recipe)))
    other = data.draw(values)
    assume(json.dumps(other) != json.dumps(recipe[name]))
    assert recipe_key({**recipe, name: other}) != recipe_key(recipe)
    assert recipe_key({key: value for key, value in recipe.items() if key != name}) != recipe_key(recipe)


@pytest.mark.parametrize(("shape", "dtype"), [((4,), "float32"), ((3, 1), "float32"), ((3,), "float16")])
def test_another_shape_or_number_format_is_another_store(tmp_path: Path, shape: tuple[int, ...], dtype: str) -> None:
    fill(open_store(tmp_path), ["a"])
    assert "a" not in open_store(tmp_path, shape, dtype)


# ---- what is not whole does not exist -------------------------------------------------------------------------------


def cut_rows_short(folder: Path) -> None:
    (rows,) = folder.glob("*.rows")
    rows.write_bytes(rows.read_bytes()[:-1])


def remove_index(folder: Path) -> None:
    next(folder.glob("*.index")).unlink()


def damage_index(folder: Path) -> None:
    next(folder.glob("*.index")).write_text("a 0")


def leave_temporary_only(folder: Path) -> None:
    remove_index(folder)
    (rows,) = folder.glob("*.rows")
    rows.rename(rows.with_suffix(".tmp"))


@pytest.mark.parametrize("harm", [cut_rows_short, remove_index, damage_index, leave_temporary_only])
def test_a_segment_that_is_not_whole_is_never_read_and_can_be_written_again(tmp_path: Path, harm: Any) -> None:
    harm(fill(open_store(tmp_path), ["a", "b"]).folder)
    again = open_store(tmp_path)
    assert len(again) == 0
    fill(again, ["a", "b"], 2.0)
    assert open_store(tmp_path).rows(["b"]).tolist() == [[2.0, 2.0, 2.0]]


def test_a_file_cut_off_while_it_is_read_is_an_error_and_no_wrong_row(tmp_path: Path) -> None:
    kept = fill(open_store(tmp_path), ["a", "b"])
    cut_rows_short(kept.folder)
    with pytest.raises(StoreError, match=r"damaged since it was written.*Start again"):
        kept.rows(["a", "b"])
    assert kept.missing(["a", "b"]) == {"a", "b"}  # and starting again helps
    assert not list(kept.folder.glob("*.rows"))


# ---- no disk is believed --------------------------------------------------------------------------------------------


def flip(path: Path, at: int, bits: int = 1) -> None:
    content = bytearray(path.read_bytes())
    content[at % len(content)] ^= bits
    path.write_bytes(content)


@settings(max_examples=60)
@given(at=st.integers(0, 10**6), bits=st.integers(1, 255), part=st.sampled_from([".rows", ".index"]))
def test_a_changed_byte_anywhere_is_found_before_a_row_is_used_and_said_once(at: int, bits: int, part: str) -> None:
    with TemporaryDirectory() as folder:
        digests = [f"{number:032x}" for number in range(20)]
        kept = fill(open_store(Path(folder)), digests)
        kept.close()
        flip(next(kept.folder.glob(f"*{part}")), at, bits)
        said: list[str] = []
        again = Store(Path(folder), RECIPE, (3,), "float32", warn=said.append)
        assert again.missing(digests) == set(digests)
        assert len(said) == 1
        assert "1 file of kept rows" in said[0]
        assert not list(kept.folder.glob("*.rows"))
        fill(again, digests, 2.0)
        assert again.missing(digests) == set()
        assert open_store(Path(folder)).rows(digests).tolist() == [[2.0] * 3] * 20
        again.close()


def test_rows_that_a_loss_of_power_has_left_as_zeros_are_none(tmp_path: Path) -> None:
    kept = fill(open_store(tmp_path), ["a", "b"])
    fill(kept, ["c"], 3.0)
    first = kept._where["a"][0].index.with_suffix(".rows")
    first.write_bytes(bytes(first.stat().st_size))
    again = open_store(tmp_path)
    assert again.missing(["a", "b", "c"]) == {"a", "b"}
    assert again.rows(["c"]).tolist() == [[3.0] * 3]


def test_a_row_of_zeros_that_was_written_as_such_is_sound(tmp_path: Path) -> None:
    fill(open_store(tmp_path), ["a"], 0.0)
    assert open_store(tmp_path).missing(["a"]) == set()


def test_two_runs_that_find_the_same_damage_at_once_both_go_on(tmp_path: Path) -> None:
    kept = fill(open_store(tmp_path), ["a", "b"])
    flip(next(kept.folder.glob("*.rows")), 5)
    runs = [open_store(tmp_path), open_store(tmp_path)]
    for run in runs:
        assert run.missing(["a", "b"]) == {"a", "b"}
    for run in runs:
        fill(run, ["a", "b"], 2.0)
    for run in (*runs, open_store(tmp_path)):
        assert run.missing(["a", "b"]) == set()
        assert run.rows(["b"]).tolist() == [[2.0] * 3]


def test_rows_of_an_earlier_format_are_left_alone(tmp_path: Path) -> None:
    """Another version beside this one may still use them; room is made of them as of all others."""
    folder = fill(open_store(tmp_path), ["a"]).folder
    (folder / "1.rows").write_bytes(b"x")
    (folder / "1.json").write_text('["a"]')
    os.utime(folder / "1.rows", (0, 0))
    make_room([tmp_path], 0, 10**9)
    assert (folder / "1.rows").exists()
    assert open_store(tmp_path).rows(["a"]).tolist() == [[1.0] * 3]


class PowerCut(Exception):
    pass


def test_a_run_that_fails_midway_keeps_what_it_computed_and_leaves_nothing_half_written(tmp_path: Path) -> None:
    kept = open_store(tmp_path)
    with contextlib.suppress(PowerCut), kept.writer() as writer:
        writer.add(["a"], np.full((1, 3), 1.0, np.float32))
        writer.finish()
        writer.add(["b"], np.full((1, 3), 2.0, np.float32))
        raise PowerCut
    assert kept.rows(["a", "b"])[:, 0].tolist() == [1.0, 2.0]
    assert not list(tmp_path.rglob("*.tmp"))
    assert open_store(tmp_path).rows(["b", "a"])[:, 0].tolist() == [2.0, 1.0]


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows has no kill -9")
def test_a_run_that_is_killed_keeps_whole_segments_and_its_rest_is_never_read(tmp_path: Path) -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], timeout=60)
    assert killed.returncode == -signal.SIGKILL
    assert len(list(tmp_path.rglob("*.tmp"))) == 1  # nobody was left to remove it
    kept = Store(tmp_path, {"what": "a killed run"}, (3,), "float32")
    assert len(kept) == 1
    fill(kept, ["b"], 2.0)
    assert kept.rows(["a", "b"])[:, 0].tolist() == [1.0, 2.0]


KILLED = """
import os, signal, sys
import numpy as np
from pathlib import Path
from regraft.activations.store import Store
with Store(Path(sys.argv[1]), {"what": "a killed run"}, (3,), "float32").writer() as writer:
    writer.add(["a"], np.ones((1, 3), np.float32))
    writer.finish()
    writer.add(["b"], np.ones((1, 3), np.float32))
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("bad", [np.inf, np.nan, 7e4])
def test_a_value_that_half_precision_cannot_hold_is_refused_and_nothing_is_kept(tmp_path: Path, bad: float) -> None:
    kept = open_store(tmp_path, dtype="float16")
    with kept.writer() as writer, pytest.raises(ActivationOverflow, match="keep_dtype='float32'"):
        writer.add(["a", "b"], np.array([[1, 2, 3], [1, bad, 3]], np.float32))
    assert not [name for name in files(tmp_path) if name != "recipe.json"]
    assert len(open_store(tmp_path, dtype="float16")) == 0


def test_single_precision_holds_what_half_precision_cannot(tmp_path: Path) -> None:
    kept = fill(open_store(tmp_path), ["a"], 7e4)
    assert kept.rows(["a"]).max() == np.float32(7e4)


# ---- two writers ----------------------------------------------------------------------------------------------------

WRITE = """
import sys
import numpy as np
from pathlib import Path
from regraft.activations.store import Store
first, last = int(sys.argv[2]), int(sys.argv[3])
store = Store(Path(sys.argv[1]), {"what": "two writers"}, (500,), "float32")
print("ready", flush=True)
sys.stdin.readline()
with store.writer() as writer:
    for number in range(first, last):
        writer.add([f"{number:032x}"], np.full((1, 500), number, np.float32))
        if number % 7 == 0:
            writer.finish()
"""


def test_two_processes_writing_one_store_at_once_end_with_all_rows_right(tmp_path: Path) -> None:
    ranges = [(0, 300), (200, 500)]  # a hundred pictures are computed by both
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITE, str(tmp_path), str(first), str(last)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for first, last in ranges
    ]
    for process in writers:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in writers:
        process.communicate("go\n", timeout=60)
    assert [process.returncode for process in writers] == [0, 0]
    kept = Store(tmp_path, {"what": "two writers"}, (500,), "float32")
    assert len(kept) == 500
    np.testing.assert_array_equal(
        kept.rows([f"{number:032x}" for number in range(500)]), np.arange(500, dtype=np.float32)[:, None].repeat(500, 1)
    )
    assert not list(tmp_path.rglob("*.tmp"))


def test_an_open_store_finds_what_another_has_added(tmp_path: Path) -> None:
    kept = open_store(tmp_path)
    fill(open_store(tmp_path), ["a"])
    assert "a" not in kept
    kept.refresh()
    assert "a" in kept


MANY = """
import resource, sys
from pathlib import Path
from regraft.activations.store import Store
from regraft.errors import StoreError
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (40, hard))
try:
    Store(Path(sys.argv[1]), {"what": "many segments"}, (3,), "float32")
except StoreError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
def test_too_many_open_files_are_named_and_not_taken_for_deleted_rows(tmp_path: Path) -> None:
    kept = Store(tmp_path, {"what": "many segments"}, (3,), "float32")
    for number in range(50):
        fill(kept, [str(number)])
    done = subprocess.run(
        [sys.executable, "-c", MANY, str(tmp_path)], capture_output=True, text=True, timeout=60, check=True
    )
    assert "Too many open files" in done.stdout
    assert "ulimit -n" in done.stdout


# ---- no room --------------------------------------------------------------------------------------------------------

FULL = """
import resource, sys
import numpy as np
from pathlib import Path
from regraft.activations.store import Store
from regraft.errors import CacheFull
store = Store(Path(sys.argv[1]), {"what": "a full disk"}, (1000,), "float32")
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
try:
    with store.writer() as writer:
        for number in range(100):
            writer.add([str(number)], np.zeros((1, 1000), np.float32))
except CacheFull as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on the size of a file")
@pytest.mark.parametrize("limit", [10, 50_000])  # not even the recipe fits; some rows do
def test_a_full_disk_is_named_and_leaves_nothing_half_written(tmp_path: Path, limit: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path), str(limit)], capture_output=True, text=True, timeout=60, check=True
    )
    assert "is full" in done.stdout
    assert "keep='never'" in done.stdout
    assert done.stdout.count("\n") == 1
    assert [name for name in files(tmp_path) if name != "recipe.json"] == []


@pytest.mark.skipif(
    sys.platform == "win32" or not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere"
)
def test_a_folder_that_may_not_be_written_to_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(StoreError, match="REGRAFT_CACHE"):
            fill(open_store(tmp_path), ["a"])
    finally:
        tmp_path.chmod(0o700)


def test_a_file_in_the_way_of_the_cache_is_named(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("not a folder")
    with pytest.raises(StoreError, match="REGRAFT_CACHE"):
        fill(open_store(tmp_path / "cache"), ["a"])


# ---- making room ----------------------------------------------------------------------------------------------------


@pytest.fixture
def three(tmp_path: Path) -> list[Path]:
    """Three stores of 10 rows of 4 kB, unused for 3, 2 and 1 hours."""
    folders = []
    for age in (3, 2, 1):
        folder = fill(open_store(tmp_path, (1000,), view=age), [str(row) for row in range(10)]).folder
        when = time.time() - 3600 * age
        os.utime(folder, (when, when))
        folders.append(folder)
    return folders


def left(folders: Sequence[Path]) -> list[bool]:
    return [folder.exists() for folder in folders]


def test_room_is_made_by_deleting_what_was_unused_for_longest(three: list[Path], tmp_path: Path) -> None:
    make_room([tmp_path], 40_000, 125_000)
    assert left(three) == [False, True, True]


def test_nothing_is_deleted_while_there_is_room(three: list[Path], tmp_path: Path) -> None:
    make_room([tmp_path], 40_000, 200_000)
    assert left(three) == [True, True, True]


def test_what_is_in_use_stays(three: list[Path], tmp_path: Path) -> None:
    make_room([tmp_path], 40_000, 125_000, spare=[three[0]])
    assert left(three) == [True, False, True]


def test_opening_a_store_makes_it_the_last_to_go(three: list[Path], tmp_path: Path) -> None:
    open_store(tmp_path, (1000,), view=3)
    make_room([tmp_path], 40_000, 125_000)
    assert left(three) == [True, False, True]


def test_the_limit_is_kept_to_even_when_all_has_to_go(three: list[Path], tmp_path: Path) -> None:
    make_room([tmp_path], 100_000, 100_000)
    assert left(three) == [False, False, False]


def test_more_than_the_limit_is_refused_with_both_figures(three: list[Path], tmp_path: Path) -> None:
    with pytest.raises(CacheFull, match=r"need 200 kB, and 59.* kB are free .*cache_limit="):
        make_room([tmp_path], 200_000, 100_000, spare=three[:1])


@pytest.mark.parametrize("needed", [200_000, 10**18])  # more than the limit; more than any disk
def test_nothing_is_deleted_where_it_would_not_help(three: list[Path], tmp_path: Path, needed: int) -> None:
    with pytest.raises(CacheFull):
        make_room([tmp_path], needed, 100_000 if needed < 10**18 else 10**19)
    assert left(three) == [True, True, True]


def test_making_room_while_another_run_writes_and_deletes_is_no_error(tmp_path: Path) -> None:
    done = threading.Event()

    def churn() -> None:
        while not done.is_set():
            for view in range(5):
                with contextlib.suppress(StoreError):
                    fill(open_store(tmp_path, view=view), ["a"]).close()
            for folder in tmp_path.iterdir():
                shutil.rmtree(folder, ignore_errors=True)

    other = threading.Thread(target=churn)
    other.start()
    try:
        for limit in [10**9, 30] * 500:
            make_room([tmp_path], 0, limit)
    finally:
        done.set()
        other.join()


def test_a_deletion_that_was_stopped_is_finished_by_a_later_run(three: list[Path], tmp_path: Path) -> None:
    """A store is renamed before it is deleted: half of one is never found under its name."""
    rest = three[0].rename(tmp_path / "half.tmp")
    os.utime(rest, (0, 0))
    make_room([tmp_path], 0, 10**9)
    assert not rest.exists()
    assert left(three) == [False, True, True]


def test_a_run_goes_on_reading_a_store_that_another_deletes(tmp_path: Path) -> None:
    kept = fill(open_store(tmp_path), ["a"])
    make_room([tmp_path], 0, 0)
    assert not kept.folder.exists()
    assert kept.rows(["a"]).tolist() == [[1.0, 1.0, 1.0]]


def test_what_a_dead_run_left_behind_is_swept_up_and_a_living_one_s_is_not(tmp_path: Path) -> None:
    folder = fill(open_store(tmp_path), ["a"]).folder
    old, new = folder / "0ld.tmp", folder / "new.tmp"
    for path in (old, new, folder / "0ld.rows"):
        path.write_bytes(b"x")
    for path in (old, folder / "0ld.rows", *folder.glob("*.rows")):
        os.utime(path, (0, 0))
    make_room([tmp_path], 0, 10**9)
    assert not old.exists()
    assert not (folder / "0ld.rows").exists()
    assert new.exists()
    assert "a" in open_store(tmp_path)


def test_the_rest_of_a_file_that_a_dead_run_was_writing_is_swept_up(tmp_path: Path) -> None:
    folder = fill(open_store(tmp_path), ["a"]).folder
    with whole(folder / "recipe.json") as temporary:
        temporary.write_bytes(b"x")
    temporary.write_bytes(b"x")  # as if nobody had been left to rename it
    os.utime(temporary, (0, 0))
    make_room([tmp_path], 0, 10**9)
    assert not temporary.exists()
    assert "a" in open_store(tmp_path)


def test_the_cache_is_where_the_environment_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("REGRAFT_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("REGRAFT_CACHE")
    assert cache_folder().name == "regraft"
