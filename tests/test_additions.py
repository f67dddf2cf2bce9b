"""An addition is one row or one file: it is seen wherever it belongs, and nothing else is edited for it."""

from __future__ import annotations

import csv
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from regraft.metrics.functions import METRICS, Metric
from regraft.reports import pages, sections
from regraft.reports.run_page import report_page
from regraft.reports.run_report import read


def brier(probs: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean squared distance of probabilities [n, k] from the truth [n], under weights [b, n] -> [b] (Brier 1950)."""
    distance = ((probs - np.eye(probs.shape[1])[labels]) ** 2).sum(1)
    return np.asarray((weights * distance).sum(1) / weights.sum(1))


@pytest.fixture
def with_brier(monkeypatch: pytest.MonkeyPatch) -> None:
    row = Metric(brier, "mean", "squared distance from the truth; 0 is best", best=0.0, title="Brier score")
    monkeypatch.setitem(METRICS, "brier", row)


@pytest.mark.usefixtures("with_brier")
def test_a_metric_is_one_row(regraft: Callable[..., Any], shapes: Path, tmp_path: Path) -> None:
    """Seen in the tables, in --json and metrics.json, in the report, and in all three forms of a leaderboard."""
    small = ("--img-size", 64, "--device", "cpu")
    trained = regraft("train", shapes, "--method", "features", *small, "--out", tmp_path / "run", "--json")
    assert trained.status == 0, trained.err
    test = json.loads(trained.out)["test"]
    assert test["brier_ci"][0] < test["brier"] < test["brier_ci"][1]
    assert json.loads((tmp_path / "run/metrics.json").read_text())["test"]["brier"] == test["brier"]
    page = (tmp_path / "run/report.html").read_text(encoding="utf-8")
    shown = re.search(r">brier<small>squared distance from the truth; 0 is best</small></td><td>([^<]+)<", page)
    assert shown is not None
    assert shown[1] == f"{test['brier']:.3f}"
    assert re.search(rf"brier\W+{test['brier']:.3f}", regraft("eval", tmp_path / "run", shapes).out) is not None


@pytest.mark.usefixtures("with_brier")
def test_a_metric_has_its_column_in_a_leaderboard(regraft: Callable[..., Any], shapes: Path, tmp_path: Path) -> None:
    asked = ("--backbones", "efficientnet_lite0", "--methods", "features", "--control-epochs", 0)
    compared = regraft("compare", shapes, *asked, "--img-size", 64, "--out", tmp_path / "all")
    assert compared.status == 0, compared.err
    (kept,) = json.loads((tmp_path / "all/leaderboard.json").read_text())["rows"]
    (line,) = csv.DictReader((tmp_path / "all/leaderboard.csv").open())
    page = (tmp_path / "all/comparison.html").read_text(encoding="utf-8")
    assert float(line["brier"]) == kept["test"]["brier"]
    assert "Brier score</button>" in page
    assert f"<td>{kept['test']['brier']:.3f}</td>" in page


LONGEST = """
TITLE, ORDER = "Longest name", 65

def values(report):
    names = [row["filename"] for row in report.split]
    return {"longest": max(names, key=len)} if report.tested > %d else None
"""


@pytest.mark.parametrize("least", [0, 10_000])
def test_a_section_of_the_report_is_a_file_and_its_template(
    least: int, small_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In its place on the page and in the navigation; and nowhere, where a run has no such section."""
    (tmp_path / "sections").mkdir()
    (tmp_path / "longest.py").write_text(LONGEST % least)
    (tmp_path / "sections/longest.html").write_text(
        '<section id="longest">{{ longest }} of {{ report.name }}</section>'
    )
    monkeypatch.setattr(sections, "__path__", [*sections.__path__, str(tmp_path)])
    monkeypatch.setattr(pages, "TEMPLATES", [*pages.TEMPLATES, tmp_path])
    monkeypatch.delitem(sys.modules, "regraft.reports.sections.longest", raising=False)
    page = report_page(read(small_run))
    anchors = re.findall(r'<section id="(\w+)"', page)
    assert re.findall(r'<li><a href="#(\w+)">', page) == anchors
    assert anchors[anchors.index("pictures") + 1 : anchors.index("data")] == (["longest"] if not least else [])
    assert ("Longest name</a>" in page) == (not least)
