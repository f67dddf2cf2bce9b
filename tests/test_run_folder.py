"""A run folder is never overwritten, and says what was asked of it."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from regraft import run_folder
from regraft.config import Config
from regraft.errors import NotWritten, RunError
from regraft.run_folder import (
    METRICS,
    SETTINGS,
    folder_to_resume,
    new_folder,
    read_json,
    settings_of,
    wanted_folder,
    write_json,
)
from regraft.utils.files import write_bytes


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def begun(folder: Path, interrupted: bool | None = None, **settings: Any) -> Path:
    """Make the folder of a run that was begun and, where `interrupted` is said, evaluated."""
    folder.mkdir(parents=True)
    write_json(folder / SETTINGS, {"data": str(Path("data").absolute()), "settings": Config(**settings).as_dict()})
    if interrupted is not None:
        write_json(folder / METRICS, {"interrupted": interrupted})
    return folder


def test_a_second_run_of_the_same_name_gets_a_number_and_a_third_the_next() -> None:
    data = Path("pictures")
    found = []
    for _ in range(3):
        found.append(new_folder(wanted_folder(None, data)))
        found[-1].mkdir(parents=True)
    assert found == [Path("runs/pictures"), Path("runs/pictures-2"), Path("runs/pictures-3")]
    assert new_folder(Path("runs/pictures")) == Path("runs/pictures-4")


def test_a_run_is_called_after_its_data() -> None:
    assert wanted_folder(None, Path("some/table.csv")) == Path("runs/table")
    assert wanted_folder(None, Path("/data/Zellen größer")) == Path("runs/Zellen größer")
    assert wanted_folder(Path("here"), Path("table.csv")) == Path("here")


def test_choosing_a_folder_writes_nothing(tmp_path: Path) -> None:
    new_folder(wanted_folder(None, Path("data")))
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_place_that_cannot_be_written_to_is_named_at_once(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(RunError, match="out="):
            new_folder(Path("deep/down/run"))
    finally:
        tmp_path.chmod(0o700)


def test_a_file_where_the_run_should_be_is_named() -> None:
    Path("runs").write_text("not a folder")
    with pytest.raises(RunError, match="runs"):
        new_folder(wanted_folder(None, Path("data")))


@pytest.mark.parametrize("out", [None, Path("runs/data")])
def test_a_file_as_run_folder_is_refused_and_gets_no_number(out: Path | None) -> None:
    Path("runs").mkdir()
    Path("runs/data").write_text("not a folder")
    with pytest.raises(RunError, match=r"data is a file; expected a folder\. Name another one: out=FOLDER"):
        new_folder(wanted_folder(out, Path("data")))


@pytest.mark.parametrize("out", [".", "..", "/", "a/..", ""])
def test_a_folder_without_a_name_of_its_own_is_refused(out: str) -> None:
    with pytest.raises(RunError, match="names no new folder"):
        new_folder(Path(out))


def test_a_link_to_nowhere_is_in_the_way() -> None:
    Path("run").symlink_to("nowhere")
    with pytest.raises(RunError, match="run is a file"):
        run_folder.claim(Path("run"), mark)
    with pytest.raises(RunError, match="run is not writable"):
        run_folder.claim(Path("run/below"), mark)


def mark(folder: Path) -> None:
    (folder / "mark").write_text("begun")


def test_runs_that_begin_at_once_each_get_a_folder_of_their_own() -> None:
    def claim(number: int) -> Path:
        return run_folder.claim(Path("runs/data"), lambda made: (made / "mark").write_text(str(number)))

    with ThreadPoolExecutor(8) as threads:
        folders = list(threads.map(claim, range(24)))
    assert [int((folder / "mark").read_text()) for folder in folders] == list(range(24))
    assert sorted(folders) == sorted(Path("runs").iterdir())


def test_a_run_that_cannot_begin_leaves_no_folder(tmp_path: Path) -> None:
    def fail(made: Path) -> None:
        mark(made)
        raise OSError("no")

    with pytest.raises(OSError, match="no"):
        run_folder.claim(Path("runs/data"), fail)
    assert not list(tmp_path.iterdir())


def test_a_disk_without_room_for_a_run_names_it_and_keeps_no_part_of_it(tiny_disk: Path) -> None:
    with pytest.raises(
        NotWritten, match=f"^{tiny_disk}/run.*No space left.*Make room there, or name a place on another"
    ):
        run_folder.claim(tiny_disk / "run", lambda made: write_bytes(made / "split.csv", bytes(100_000)))
    assert not list(tiny_disk.iterdir())


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such lock")
def test_two_do_not_work_in_one_folder_and_who_has_died_does_not_work_there(tmp_path: Path) -> None:
    hold = "import sys; from pathlib import Path; from regraft.run_folder import alone_in\n"
    hold += "with alone_in(Path(sys.argv[1])): print('mine', flush=True); sys.stdin.readline()"
    command = [sys.executable, "-c", hold, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"mine\n"
        with (
            pytest.raises(RunError, match=rf"Another process is at work in {tmp_path}\. Wait .* out="),
            run_folder.alone_in(tmp_path),
        ):
            raise AssertionError
        other.kill()
    with run_folder.alone_in(tmp_path):
        assert not list(tmp_path.iterdir())  # there is no file that says so


# ---- going on -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("interrupted", [None, True])
def test_the_newest_run_of_the_data_goes_on(interrupted: bool | None) -> None:
    begun(Path("runs/data"), False)
    newest = begun(Path("runs/data-2"), interrupted)
    assert folder_to_resume(None, Path("data")) == newest
    assert folder_to_resume(newest, Path("elsewhere")) == newest


def test_a_run_of_other_data_with_the_same_name_does_not_go_on_by_itself() -> None:
    folder = begun(Path("runs/data"), None)
    with pytest.raises(RunError, match=r"is a run on .*data, not on .*elsewhere.data"):
        folder_to_resume(None, Path("elsewhere/data"))
    assert folder_to_resume(folder, Path("elsewhere/data")) == folder


def test_a_finished_run_does_not_go_on() -> None:
    folder = begun(Path("runs/data"), False)
    with pytest.raises(RunError, match="finished"):
        folder_to_resume(None, Path("data"))
    with pytest.raises(RunError, match="finished"):
        folder_to_resume(folder, Path("data"))


def test_a_run_is_finished_when_all_that_was_asked_for_is_written() -> None:
    folder = begun(Path("runs/data"), False)
    assert run_folder.finished(folder)  # as those of version 0.1.0 are
    write_json(folder / METRICS, {"seconds": 1.5, run_folder.AWAITS: "report"})
    assert (run_folder.learned(folder), run_folder.finished(folder)) == (True, False)
    assert folder_to_resume(None, Path("data")) == folder
    run_folder.finish(folder)
    assert run_folder.read_json(folder / METRICS) == {"seconds": 1.5, "format": 1}
    with pytest.raises(RunError, match="finished"):
        folder_to_resume(None, Path("data"))


def test_a_run_that_awaits_its_report_alone_takes_no_other_target() -> None:
    folder = begun(Path("run"), positive="a", target_recall=0.99)
    assert run_folder.settings_of(folder, {"target_recall": 0.9}).target_recall == 0.9
    write_json(folder / METRICS, {run_folder.AWAITS: "report"})
    with pytest.raises(RunError, match=r"begun with target_recall=0.99, not 0.9"):
        run_folder.settings_of(folder, {"target_recall": 0.9})


def test_there_must_be_a_run_to_go_on_with() -> None:
    for out in (None, Path("nowhere")):
        with pytest.raises(RunError, match="no run at"):
            folder_to_resume(out, Path("data"))


def test_a_run_goes_on_with_its_own_settings() -> None:
    folder = begun(Path("run"), epochs=7, method="finetuned", seed=3)
    assert settings_of(folder, {}) == Config(epochs=7, method="finetuned", seed=3)
    assert settings_of(folder, {"epochs": 7}) == Config(epochs=7, method="finetuned", seed=3)


def test_another_setting_is_refused_with_both_values() -> None:
    folder = begun(Path("run"), epochs=7, split_from=Path("earlier"))
    with pytest.raises(RunError, match="epochs=7, not 8"):
        settings_of(folder, {"epochs": 8})
    with pytest.raises(RunError, match="split_from='earlier', not other"):
        settings_of(folder, {"split_from": Path("other")})
    assert settings_of(folder, {"split_from": Path("earlier")}).epochs == 7


def test_the_machine_may_be_another_one() -> None:
    folder = begun(Path("run"), epochs=7, keep="auto", cache_limit=5.0)
    assert settings_of(folder, {"keep": "never", "device": "cpu"}) == Config(
        epochs=7, keep="never", device="cpu", cache_limit=5.0
    )


def test_a_run_may_go_on_with_another_target_but_not_with_one_for_some_of_its_folds() -> None:
    """A threshold is fitted after the training, and changes nothing of what was learned."""
    folder = begun(Path("run"), epochs=7, positive="ill", target_recall=0.99)
    assert settings_of(folder, {}) == Config(epochs=7, positive="ill", target_recall=0.99)
    assert settings_of(folder, {"target_recall": 0.9}) == Config(epochs=7, positive="ill", target_recall=0.9)
    assert settings_of(folder, {"target_precision": 0.8}) == Config(epochs=7, positive="ill", target_precision=0.8)
    folder = begun(Path("folds"), folds=3, positive="ill", target_recall=0.99)
    with pytest.raises(RunError, match=r"target_recall=0\.99, not 0\.9"):
        settings_of(folder, {"target_recall": 0.9})


# ---- files ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [None, "", "{", "\xff"])
def test_a_damaged_file_is_named(content: str | None) -> None:
    path = Path("run/config.json")
    path.parent.mkdir()
    if content is not None:
        path.write_bytes(content.encode("latin1"))
    with pytest.raises(RunError, match=r"config\.json"):
        read_json(path)


def test_files_are_written_whole_and_leave_nothing_beside_them(tmp_path: Path) -> None:
    write_json(Path("a.json"), {"label": "größer", "list": [1, 2]})
    write_json(Path("a.json"), {"label": "größer"})
    run_folder.write_skipped(Path("skipped.csv"), {"a, b.png": 'not a "picture"'})
    assert json.loads(Path("a.json").read_text(encoding="utf-8")) == {"label": "größer"}
    with Path("skipped.csv").open(newline="", encoding="utf-8") as file:
        assert list(csv.reader(file)) == [["filename", "reason"], ["a, b.png", 'not a "picture"']]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json", "skipped.csv"]


def test_a_run_knows_the_versions_it_was_made_with() -> None:
    found = run_folder.environment()
    assert found["torch"].startswith(("2.", "3."))
    assert run_folder.environment(["no-such-package"])["no-such-package"] == "not installed"


@pytest.mark.skipif(os.name == "nt", reason="Windows does not say whether a process runs")
def test_who_goes_on_removes_what_killed_processes_have_left_at_any_depth(tmp_path: Path) -> None:
    write = "import sys; from pathlib import Path; from regraft.utils import files\n"
    write += "for folder in sys.argv[1:]: files._beside(Path(folder) / 'x').mkdir(parents=True)"
    folders = [tmp_path / "run", tmp_path / "run" / "fold-1" / "checkpoints"]
    for _ in range(2):  # also a second time, in a process that has been here before
        subprocess.run([sys.executable, "-c", write, *map(str, folders)], check=True)
        assert len(list(tmp_path.rglob("*.tmp"))) == 2
        with run_folder.alone_in(tmp_path / "run"):
            assert not list(tmp_path.rglob("*.tmp"))


@pytest.mark.parametrize("name", run_folder.FORMATS)
def test_files_tell_their_format_and_those_of_before_there_were_formats_are_read(name: str, tmp_path: Path) -> None:
    write_json(tmp_path / name, {"seconds": 1.0})
    assert read_json(tmp_path / name) == {"seconds": 1.0, "format": run_folder.FORMATS[name]}
    write_bytes(tmp_path / name, b'{"seconds": 2.0}')  # as version 0.1.0 wrote it
    assert read_json(tmp_path / name) == {"seconds": 2.0}


@pytest.mark.parametrize("name", run_folder.FORMATS)
@pytest.mark.parametrize("number", ["99", '"new"', "null"])
def test_a_file_of_a_newer_format_is_refused(name: str, number: str, tmp_path: Path) -> None:
    write_bytes(tmp_path / name, f'{{"format": {number}}}'.encode())
    with pytest.raises(RunError, match=rf"{name} has format .* reads up to {run_folder.FORMATS[name]}. Update it"):
        read_json(tmp_path / name)
