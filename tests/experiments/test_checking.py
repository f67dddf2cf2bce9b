"""What is planted in a folder of pictures is found, little else is, and the command ends as CI expects."""

from __future__ import annotations

import csv
import html
import json
import re
from pathlib import Path
from shutil import copyfile
from typing import Any

import numpy as np
import pytest
from PIL import Image

import regraft
from regraft.data import draw_cells
from regraft.errors import ConfigError, NoImages, UnknownName
from regraft.experiments.checking import Check, check

SMALL: dict[str, Any] = {"img_size": 96, "device": "cpu"}


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_cells(tmp_path_factory.mktemp("cells") / "cells", per_class=150, size=96, difficulty=0.2)


@pytest.fixture(scope="module")
def sound(cells: Path, tmp_path_factory: pytest.TempPathFactory) -> Check:
    return check(cells, out=tmp_path_factory.mktemp("out") / "sound", groups=r"^P\d+", **SMALL)


def link(source: Path, folder: Path, every: int = 1) -> Path:
    """Make a folder of class folders that shows every n-th picture of another; the source stays as it is."""
    for label in sorted(path for path in source.iterdir() if path.is_dir()):
        (folder / label.name).mkdir(parents=True)
        for picture in sorted(path for path in label.iterdir() if path.suffix in (".png", ".jpg"))[::every]:
            (folder / label.name / picture.name).symlink_to(picture)
    return folder


def plant_twins(data: Path, rng: np.random.Generator) -> dict[str, set[frozenset[str]]]:
    """Copy pictures within their class, into the other class, and changed; returns the pairs by kind of finding."""
    first, second = sorted(path.name for path in data.iterdir() if path.is_dir())
    chosen = [path.name for path in sorted((data / first).iterdir())]
    chosen = [chosen[at] for at in rng.permutation(len(chosen))[:24]]
    pairs: dict[str, set[frozenset[str]]] = {"duplicate": set(), "label-conflict": set(), "near-duplicate": set()}
    for number, name in enumerate(chosen):
        kind = list(pairs)[number % 3]
        folder = second if kind == "label-conflict" else first
        stem, ending = name.rsplit(".", 1)
        copy = f"{folder}/{stem}_copy.{ending}"
        if kind == "near-duplicate":
            image = Image.open(data / first / name).convert("RGB").resize((90, 90))
            image = image if number % 2 else image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
            image.save(data / copy)
        else:
            copyfile(data / first / name, data / copy)
        pairs[kind].add(frozenset((f"{first}/{name}", copy)))
    return pairs


def pairs_of(found: Check, kind: str) -> set[frozenset[str]]:
    return {frozenset((remark.filename, remark.other)) for remark in found.audit.of(kind)}


def put_in_parts(data: Path, pairs: set[frozenset[str]], table: Path) -> Path:
    """Write a split in which one of each pair is in test, and all else alternates."""
    names = sorted(path.relative_to(data).as_posix() for path in data.rglob("*.*"))
    part = {name: "test" if at % 4 == 0 else "train" for at, name in enumerate(names)}
    for pair in pairs:
        one, other = sorted(pair)
        part[one], part[other] = "train", "test"
    table.write_text("\n".join(["filename,split", *(f"{name},{part[name]}" for name in names)]))
    return table


def swap(data: Path, share: float, rng: np.random.Generator) -> set[str]:
    """Move pictures into the other of two classes; returns their new names."""
    first, second = sorted(path for path in data.iterdir() if path.is_dir())
    pictures = sorted([*first.iterdir(), *second.iterdir()])
    moved = set()
    for at in rng.permutation(len(pictures))[: round(share * len(pictures))]:
        path = pictures[at]
        target = (second if path.parent == first else first) / path.name
        path.rename(target)
        moved.add(target.relative_to(data).as_posix())
    return moved


def share_ranked_first(found: Check, data: Path, wrong: set[str], first: float = 0.1) -> float:
    from regraft.data import scan

    assert found.audit.label_quality is not None
    names = [item.name for item in scan(data).items]
    worst = np.argsort(found.audit.label_quality)[: round(first * len(names))]
    return len(wrong & {names[at] for at in worst}) / len(wrong)


# synthetic cells: always

BY_CHANCE = 2  # of 44,850 pairs of drawn ellipses that are as smooth, as long and as wide


def test_a_notebook_shows_the_counts_of_a_check(sound: Check) -> None:
    shown = sound._repr_html_()
    assert html.escape(sound.audit.summary()) in shown
    assert f"<td>labels that look wrong</td><td>{sound.audit.counts()['label-error']}</td>" in shown
    assert repr(sound) == f"<Check: {sum(sound.audit.counts().values())} findings, in {sound.folder}>"


def test_the_findings_of_a_check_are_rows(drawn: Path, tmp_path: Path) -> None:
    copyfile(drawn / "red" / "red1.png", drawn / "blue" / "again.png")
    found = check(drawn, out=tmp_path / "found")
    assert [row["kind"] for row in found.rows] == [remark.kind for remark in found.audit.remarks]
    assert len(found) == len(found.rows) > 0
    table = pytest.importorskip("pandas").read_csv(found.folder / "findings.csv")
    assert list(found.to_pandas().columns) == list(table.columns)
    assert list(found.to_pandas()["filename"]) == list(table["filename"])


def test_sound_cells_raise_few_false_alarms(sound: Check) -> None:
    counts = sound.audit.counts()
    assert counts.pop("label-error") <= 0.04 * sound.audit.pictures
    assert counts.pop("near-duplicate") <= BY_CHANCE
    assert counts.pop("leak") <= BY_CHANCE
    assert not any(counts.values()), counts


def test_all_planted_twins_and_leaks_are_found_and_no_others(cells: Path, tmp_path: Path) -> None:
    data = link(cells, tmp_path / "data")
    planted = plant_twins(data, np.random.default_rng(1))
    every = set().union(*planted.values())
    found = check(data, out=tmp_path / "out", split_from=put_in_parts(data, every, tmp_path / "split.csv"), **SMALL)
    assert {kind: pairs_of(found, kind) & every for kind in planted} == planted
    assert pairs_of(found, "duplicate") == planted["duplicate"]
    assert pairs_of(found, "leak") >= every
    listed = set().union(*(pairs_of(found, kind) for kind in (*planted, "leak")))
    by_chance = {frozenset(name.replace("_copy", "") for name in pair) for pair in listed - every}
    assert len({pair for pair in by_chance if len(pair) > 1}) <= 2 * BY_CHANCE


def test_of_swapped_labels_most_are_ranked_first(cells: Path, tmp_path: Path) -> None:
    data = link(cells, tmp_path / "data")
    wrong = swap(data, 0.05, np.random.default_rng(2))
    assert share_ranked_first(check(data, out=tmp_path / "out", **SMALL), data, wrong) >= 0.8


def test_a_group_that_an_earlier_split_has_torn_is_a_finding(cells: Path, tmp_path: Path) -> None:
    table = put_in_parts(link(cells, tmp_path / "data"), set(), tmp_path / "split.csv")
    found = check(tmp_path / "data", out=tmp_path / "out", groups=r"^P\d+", split_from=table, **SMALL)
    assert sum(remark.score is None for remark in found.audit.of("leak")) == 12  # every patient


# real pictures


@pytest.mark.real
def test_in_real_cells_planted_twins_and_leaks_are_found(shared: Path, tmp_path: Path) -> None:
    data = link(shared / "data" / "malaria", tmp_path / "data", every=6)
    planted = plant_twins(data, np.random.default_rng(3))
    every = set().union(*planted.values())
    found = check(data, out=tmp_path / "out", split_from=put_in_parts(data, every, tmp_path / "split.csv"), **SMALL)
    for kind in planted:
        assert pairs_of(found, kind) >= planted[kind]
    assert pairs_of(found, "duplicate") == planted["duplicate"]
    assert pairs_of(found, "leak") >= every
    more = {frozenset(name.replace("_copy", "") for name in pair) for pair in pairs_of(found, "leak") - every}
    assert len(more) <= 5  # of 395,000 pairs of cells that all look alike, turned till they fit


@pytest.mark.real
@pytest.mark.parametrize(("name", "every"), [("malaria", 4), ("hymenoptera", 1)])
def test_in_real_pictures_swapped_labels_are_ranked_first(name: str, every: int, shared: Path, tmp_path: Path) -> None:
    data = link(shared / "data" / name, tmp_path / "data", every=every)
    wrong = swap(data, 0.05, np.random.default_rng(4))
    found = check(data, out=tmp_path / "out", **({} if every == 1 else SMALL))
    assert share_ranked_first(found, data, wrong) >= 0.8


@pytest.mark.real
def test_sound_insects_raise_few_false_alarms(shared: Path, tmp_path: Path) -> None:
    data = link(shared / "data" / "hymenoptera", tmp_path / "data")
    found = check(data, out=tmp_path / "out")
    counts = found.audit.counts()
    assert counts.pop("label-error") <= 0.04 * found.audit.pictures
    assert not any(counts.values()), counts


def crops_in_test(source: Path, folder: Path, planted: int) -> Path:
    """Make train and test folders of other photographs, and in test some crops of training ones, to 70 % of a side."""
    for label in sorted(path for path in source.iterdir() if path.is_dir()):
        pictures = sorted(label.glob("*.jpg"))[:60]
        for part, those in (("train", pictures[:40]), ("test", [*pictures[:planted], *pictures[40 + planted :]])):
            (folder / part / label.name).mkdir(parents=True)
            for at, path in enumerate(those):
                image = Image.open(path).convert("RGB")
                if part == "test" and at < planted:
                    width, height = image.size
                    image = image.crop((width // 5, height // 10, 9 * width // 10, 8 * height // 10))
                image.save(folder / part / label.name / f"{at}.png")
    return folder


@pytest.mark.real
@pytest.mark.parametrize("planted", [0, 10])
def test_crops_of_training_photographs_in_test_are_said_to_lie_too_near(
    planted: int, shared: Path, tmp_path: Path
) -> None:
    data = crops_in_test(shared / "data" / "hymenoptera", tmp_path / "insects", planted)
    assert len(check(data, out=tmp_path / "out", device="cpu").audit.of("close-parts")) == (planted > 0)


@pytest.mark.real
def test_insects_among_real_cells_are_the_first_outliers(shared: Path, tmp_path: Path) -> None:
    data = link(shared / "data" / "malaria", tmp_path / "data", every=10)
    strange = sorted((shared / "data" / "hymenoptera").rglob("*.jpg"))[::97][:3]
    for number, path in enumerate(strange):
        (data / "Uninfected" / f"insect{number}.jpg").symlink_to(path)
    outliers = [remark.filename for remark in check(data, out=tmp_path / "out", **SMALL).audit.of("outlier")]
    assert set(outliers[:3]) == {f"Uninfected/insect{number}.jpg" for number in range(3)}
    assert len(outliers) <= 3 + 5  # of 534 cells


# what is written, and how it ends


def test_unreadable_files_are_listed_however_many(drawn: Path, tmp_path: Path) -> None:
    for number in range(4):
        (drawn / "red" / f"bad{number}.png").write_bytes(b"no picture" * number)
    found = check(drawn, out=tmp_path / "out", **SMALL)
    assert [(remark.filename, remark.remark) for remark in found.audit.of("corrupt")][:2] == [
        ("red/bad0.png", "0 bytes"),
        ("red/bad1.png", "not a picture (text file?)"),
    ]
    assert found.audit.counts()["corrupt"] == 4
    assert found.audit.pictures == 32


def test_a_folder_of_unreadable_files_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / "data" / name).mkdir(parents=True)
        (tmp_path / "data" / name / "x.png").write_text("no picture")
    with pytest.raises(NoImages, match="None of the 2 pictures"):
        check(tmp_path / "data", out=tmp_path / "out", **SMALL)
    assert not (tmp_path / "out").exists()


def test_the_page_is_self_contained_and_the_table_has_every_finding(drawn: Path, tmp_path: Path) -> None:
    copyfile(drawn / "red" / "red0.png", drawn / "blue" / "<b>red & blue.png")
    found = check(drawn, out=tmp_path / "out", **SMALL)
    page = (found.folder / "check.html").read_text()
    assert not re.findall(r"""(?:src|href)=["'](?!data:|#)[^"']*""", page)
    assert "&lt;b&gt;red &amp; blue.png" in page
    assert "<b>red" not in page
    assert len(re.findall(r"<img [^>]*alt=\"[^\"]+\"", page)) == len(re.findall("<img ", page)) > 0
    rows = list(csv.DictReader((found.folder / "findings.csv").open()))
    assert len(rows) == len(found.audit.remarks) > 0
    assert {row["kind"] for row in rows} >= {"label-conflict"}


def test_the_command_ends_with_1_only_on_what_it_was_told_to_fail_on(regraft, drawn: Path, tmp_path: Path) -> None:
    copyfile(drawn / "red" / "red0.png", drawn / "blue" / "again.png")
    common = ("check", drawn, "--img-size", 96, "--out", tmp_path / "out")
    answer = regraft(*common)
    assert answer.status == 0
    assert "blue/again.png = red/red0.png" in re.sub(r"\s+", " ", answer.out)
    assert regraft(*common, "--fail-on", "duplicate").status == 0
    failed = regraft(*common, "--fail-on", "label-conflict", "--json")
    assert failed.status == 1
    found = json.loads(failed.out)
    assert (found["failed_on"], found["counts"]["label-conflict"]) == (["label-conflict"], 1)
    assert found["folder"] == str(tmp_path / "out-3")  # nothing is overwritten


def test_leaks_are_not_asked_for_where_nothing_can_leak(regraft, drawn: Path, tmp_path: Path) -> None:
    common = ("check", drawn, "--img-size", 96, "--out", tmp_path / "out", "--fail-on", "leak")
    refused = regraft(*common)
    assert refused.status == 1
    assert "has neither" in refused.err
    assert not (tmp_path / "out").exists()
    assert "has neither" not in regraft(*common, "--groups", r"\d").err


def test_an_unknown_kind_is_one_line_before_anything_is_computed(regraft, drawn: Path, tmp_path: Path) -> None:
    answer = regraft("check", drawn, "--fail-on", "leaks", "--out", tmp_path / "out")
    assert answer.status == 1
    assert "Unknown kind of finding 'leaks'. Did you mean leak" in answer.err
    assert answer.err.count("\n") == 1
    with pytest.raises(UnknownName):
        check(drawn, fail_on=["duplicates"])


@pytest.mark.parametrize("given", [{"epochs": 3}, {"method": "full"}, {"val": 0.2}, {"class_weights": "on"}])
def test_settings_of_a_training_are_refused(drawn: Path, given: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"check makes no use of \w+=.* give it to train"):
        check(drawn, **given)


def test_kinds_to_fail_on_may_be_joined_by_commas_as_in_the_command(drawn: Path, tmp_path: Path) -> None:
    copyfile(drawn / "red" / "red0.png", drawn / "red" / "again.png")
    options: dict[str, Any] = {"img_size": 64}
    found = regraft.check(drawn, fail_on="duplicate, corrupt", out=tmp_path / "check", **options)
    assert found.failed_on == ("duplicate",)
    with pytest.raises(UnknownName, match="'duplicates'"):
        regraft.check(drawn, fail_on="corrupt,duplicates")
