"""Labels that are corrected on a page come back in the next training: the whole circle, in a real browser."""

from __future__ import annotations

import csv
import json
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import regraft as package  # the fixture of that name is the command line
from regraft.errors import RunError

WRONG = {"blue0.png": "blue", "green1.png": "green", "yellow2.png": "yellow"}  # pictures among the red ones
SMALL: dict[str, Any] = {"method": "features", "img_size": 64}


@pytest.fixture(scope="module")
def mislabelled(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four colours, of which three pictures lie in the folder of another; read only."""
    data = tmp_path_factory.mktemp("wrong") / "data, of 'colours'"
    shutil.copytree(shapes, data)
    for name, colour in WRONG.items():
        (data / colour / name).rename(data / "red" / name)
    return data


@pytest.fixture(scope="module")
def run(mislabelled: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return package.train(mislabelled, out=tmp_path_factory.mktemp("runs") / "first", folds=4, **SMALL).folder


def judged(page: Any, name: str) -> Any:
    """The buttons under the first picture of that name."""
    return page.locator(f".judge[aria-label^='red/{name} is labelled red']").first


def download(page: Any, folder: Path) -> Path:
    with page.expect_download() as coming:
        page.get_by_role("button", name="Download corrections.csv").click()
    assert coming.value.suggested_filename == "corrections.csv"
    coming.value.save_as(folder / "corrections.csv")
    return folder / "corrections.csv"


def counts(run: Path) -> dict[str, int]:
    with (run / "split.csv").open(encoding="utf-8") as file:
        labels = [row["label"] for row in csv.DictReader(file)]
    return {label: labels.count(label) for label in sorted(set(labels))}


def test_three_labels_are_corrected_on_a_page_and_trained_with(
    opened: Callable[..., Any],
    regraft: Callable[..., Any],
    run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    page = opened(run / "report.html")
    assert page.locator("#corrections").is_hidden()
    for name in ("blue0.png", "green1.png"):
        judged(page, name).locator("select").select_option(WRONG[name])
    judged(page, "yellow2.png").get_by_role("button", name="unusable").click()
    assert page.get_by_role("status").text_content() == "3 pictures judged."
    table = download(page, tmp_path)
    assert table.read_text(encoding="utf-8").splitlines() == [
        "filename,was,verdict,label",
        "red/blue0.png,red,wrong,blue",
        "red/green1.png,red,wrong,green",
        "red/yellow2.png,red,unusable,",
    ]
    again = page.locator("#corrections pre").text_content()
    monkeypatch.chdir(tmp_path)  # the folder that it lies in, as the page says
    answer = regraft(*shlex.split(again)[1:], "--out", "again")
    assert answer.status == 0, answer.err
    assert "Corrected by hand: 2 pictures with another class, 1 picture left out." in answer.err.replace("\n", " ")
    assert counts(run / "fold-1") == {"blue": 19, "green": 19, "red": 23, "yellow": 19}
    assert counts(tmp_path / "again" / "fold-1") == {"blue": 20, "green": 20, "red": 20, "yellow": 19}
    assert "Corrected by hand: 2 pictures" in (tmp_path / "again" / "report.html").read_text(encoding="utf-8")


def test_what_was_corrected_before_stays_corrected_on_the_next_page(
    opened: Callable[..., Any], mislabelled: Path, tmp_path: Path
) -> None:
    table = tmp_path / "table.csv"
    table.write_text("filename,was,verdict,label\nred/blue0.png,red,wrong,blue\n", encoding="utf-8")
    checked = package.check(mislabelled, corrections=table, img_size=64, out=tmp_path / "check").folder
    page = opened(checked / "check.html", 390)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert not page.locator(".judge[aria-label^='red/blue0.png is labelled red']").count()
    first = judged(page, "green1.png")
    first.get_by_role("button", name="right").focus()
    page.keyboard.press("w")
    assert first.get_by_role("button", name="wrong").get_attribute("aria-pressed") == "true"
    page.keyboard.press("u")
    assert first.get_by_role("button", name="wrong").get_attribute("aria-pressed") == "false"
    page.keyboard.press("u")  # the same again takes it back
    assert page.locator("#corrections").is_hidden()
    page.keyboard.press("o")
    page.keyboard.press("g")  # the list of classes: green
    page.keyboard.press("Enter")
    first.locator("select").evaluate("it => it.blur()")
    rows = download(page, tmp_path).read_text(encoding="utf-8").splitlines()[1:]
    assert rows == ["red/blue0.png,red,wrong,blue", "red/green1.png,red,wrong,green"]


def test_a_run_keeps_its_corrections_and_goes_on_with_them_alone(mislabelled: Path, tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    table.write_text("filename,label\nred/blue0.png,blue\n", encoding="utf-8")
    run = package.train(mislabelled, corrections=table, out=tmp_path / "run", report=False, **SMALL).folder
    assert counts(run)["blue"] == 20
    about = json.loads((run / "config.json").read_text(encoding="utf-8"))
    assert about["settings"]["corrections"] == table.read_text(encoding="utf-8")
    assert (run / "corrections.csv").read_bytes() == table.read_bytes()
    (run / "metrics.json").unlink()  # as if it had been killed before it was measured
    table.write_text("filename,label\nred/blue0.png,green\n", encoding="utf-8")
    with pytest.raises(RunError, match=r"was begun with corrections=1 rows \(\w+\), not 1 rows \(\w+\)"):
        package.train(mislabelled, corrections=table, out=run, resume=True)
    table.unlink()
    package.train(mislabelled, out=run, resume=True, report=False)
    assert counts(run)["blue"] == 20
    assert (run / "metrics.json").exists()
    assert f"--corrections {run / 'corrections.csv'}" in package.report(run).read_text(encoding="utf-8")


def test_compare_and_recommend_obey_them_too(mislabelled: Path, tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    table.write_text("filename,verdict,label\nred/blue0.png,unusable,\n", encoding="utf-8")
    settings = {"corrections": table, "img_size": 64}
    networks = ["tf_efficientnet_lite0"]
    found = package.compare(
        mislabelled, backbones=networks, methods=["features"], control_epochs=0, out=tmp_path / "both", **settings
    )
    assert counts(found.folder)["red"] == 22
    assert (found.folder / "corrections.csv").exists()
    assert package.recommend(mislabelled, backbones=networks, **settings).pictures == 79


def test_what_does_not_fit_is_refused_in_one_line(
    regraft: Callable[..., Any], mislabelled: Path, tmp_path: Path
) -> None:
    table = tmp_path / "table.csv"
    for row, said in (("gone.png,blue", "does not have: gone.png"), ("red/blue0.png,bleu", "Unknown class 'bleu'")):
        table.write_text(f"filename,label\n{row}\n", encoding="utf-8")
        for command in ("train", "check"):
            answer = regraft(command, mislabelled, "--corrections", table, "--out", tmp_path / "none")
            assert answer.status == 1
            assert said in answer.err
            assert len(answer.err.strip().splitlines()) == 1
    assert regraft("train", mislabelled, "--corrections", tmp_path / "no.csv").status == 1
    assert not (tmp_path / "none").exists()
