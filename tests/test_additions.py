"""An addition is one row or one file: it is seen wherever it belongs, and nothing else is edited for it."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from regraft import exporters
from regraft.experiments import loggers
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
    assert f'<td class="more">{kept["test"]["brier"]:.3f}</td>' in page


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


FORMAT = """
from regraft.exporters.onnx import PACKAGES, PRECISIONS, SAME, run, write

SUFFIX = ".other"
"""


def test_an_export_format_is_a_file(
    regraft: Callable[..., Any], small_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Offered, and tried on the run's pictures as all are."""
    (tmp_path / "other.py").write_text(FORMAT)
    monkeypatch.setattr(exporters, "__path__", [*exporters.__path__, str(tmp_path)])
    assert "Known: onnx, openvino, other, pt2, timm." in regraft("export", small_run, "--format", "othr").err
    done = regraft("export", small_run, "--format", "other", "-o", tmp_path / "made/model.other")
    assert done.status == 0, done.err
    assert "0 labels" in done.out


LOGGER = """
from pathlib import Path

def packages():
    return ()

class Log:
    def __init__(self, started):
        self.key, self.where = started.name, str(started.beside / "diary.txt")
        self.write(f"{started.name} {started.settings['img_size']}")

    def write(self, line):
        with Path(self.where).open("a") as file:
            file.write(line + "\\n")

    def epoch(self, number, figures):
        self.write(f"epoch {number} {sorted(figures)}")

    def end(self, figures, pages):
        self.write(f"end {figures['test/accuracy']} {[page.name for page in pages]}")

    def close(self, state):
        self.write(state)

start = Log
"""


def test_a_logger_is_a_file(
    regraft: Callable[..., Any], shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hears of the settings, each epoch, the figures, the pages and how it ended."""
    (tmp_path / "diary.py").write_text(LOGGER)
    monkeypatch.setattr(loggers, "__path__", [*loggers.__path__, str(tmp_path)])
    small = ("--img-size", 64, "--epochs", 2, "--no-report", "--out", tmp_path / "run")
    assert "Did you mean diary" in regraft("train", shapes, "--logger", "diry", *small).err
    done = regraft("train", shapes, "--logger", "diary", *small, "--json")
    assert done.status == 0, done.err
    accuracy = json.loads(done.out)["test"]["accuracy"]
    curves = ["lr", "train/loss", "val/accuracy", "val/loss"]
    assert (tmp_path / "diary.txt").read_text().splitlines() == [
        "run 64",
        *(f"epoch {number} {curves}" for number in (1, 2)),
        f"end {accuracy} ['confusion_matrix.svg']",
        "finished",
    ]


# ---- a row, a field or a file of the code itself, in a copy of it ---------------------------------------------------

PROJECT = Path(__file__).parents[1]
ROW = """\
    Family("resnet_t", "timm", ("resnet10t",), "conv1+bn1+act1+maxpool layer1 layer2 layer3 layer4", "global_pool+fc"),
"""
FIELD = """\
    sharpness: float = _setting(
        1.0, "How sharp it is.", group="Training", use=TRAINING, within=(0.0, 4.0), needs="steps"
    )
"""
METHOD = """\
from dataclasses import replace

from regraft.methods import frozen

WEIGHTS = "random:7"


def plan(backbone, config):
    return replace(frozen.plan(backbone, config), method="wide", hidden=96)
"""
ENGINE = """\
from regraft.activations.engines.torch import AUTO, PACKAGE, known, open, ready, supports

RANK, PAYS_FROM = 3, 0
"""
SOURCE = """\
import os
from pathlib import Path

from regraft.weights.sources import Tensors

RANK = 1


def publishes(name, library):
    return name == "resnet10t"


def file(network):
    return Path(os.environ["LAB"], network["name"] + ".pth")


def get(network):
    return "ask the lab"


def licence(network):
    return "CC0 (the lab)"


def here(name):
    return file({"name": name}).is_file()


def fetch(backbone, tag):
    from regraft.weights.reading import read

    return Tensors(read(file({"name": backbone.name})), "lab:1", "CC0 (the lab)", backbone.preprocessing)
"""
STORY = """\
import contextlib, io, json, sys
from pathlib import Path

here, cells = Path(sys.argv[1]), Path(sys.argv[2])
sys.path[:0] = [str(here / "src"), str(here / "tools")]

from regraft.cli import main


def said(*words):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), contextlib.suppress(SystemExit):
        main([str(word) for word in words])
    return " ".join((out.getvalue() + err.getvalue()).replace("\u2502", " ").split())  # no frame, no broken lines


told = {
    "help": said("train", "--help"),
    "help of compare": said("compare", "--help"),
    "help of check": said("check", "--help"),
    "sharpness 9": said("train", cells, "--sharpness", 9),
    "engine torche": said("train", cells, "--engine", "torche"),
    "method wid": said("train", cells, "--method", "wid"),
}

import regraft
import torch
from compiling import card, table
from generate import keywords_module, settings_page
from regraft import catalog, methods
from regraft.activations import engines
from regraft.backbones import PixelNorm, build, names

told |= {"docs": settings_page(), "keywords": keywords_module()}
told |= {"networks": names(), "methods": methods.names(), "engines": engines.names()}
told["auto"] = engines.choose("auto", torch.device("cpu"), 1).engine

network, picture = build("resnet10t"), torch.zeros(1, 64, 64, 3, dtype=torch.uint8)
with torch.inference_mode():
    whole = network.model(PixelNorm(network.preprocessing)(picture))
    cut = network.classifier.module(network.tail(3)(network.prefix(3)(picture)))
told["stages"] = [stage.name for stage in network.stages if torch.equal(whole, cut)]

cards = Path(catalog.__file__).with_name("cards.csv")
cards.write_text(cards.read_text() + table([card("resnet10t")]).partition("\\n")[2])
told["models"] = catalog.models("resnet10t")
told["not here"] = said("weights", "list", "resnet10t")
torch.save(network.model.state_dict(), here / "lab/resnet10t.pth")
told["here"] = said("weights", "list")

settings = ("--config", here / "settings.yaml")
said("train", cells, "--backbone", "resnet10t", "--method", "wide", *settings, "--out", here / "run")
told["answers"] = regraft.predict(here / "run", cells / "red").classes
told["features"] = said("train", cells, "--method", "features", *settings, "--no-report", "--out", here / "idle")
regraft.train(cells, backbone="resnet10t", epochs=1, img_size=64, report=False, out=here / "filled")
asked = ("--backbones", "resnet10t", "--methods", "wide", "--control-epochs", 0)
said("compare", cells, *asked, *settings, "--out", here / "all")
print(json.dumps(told))
"""
SETTINGS = "sharpness: 2.5\nengine: mirror\nimg_size: 64\nepochs: 2\ndevice: cpu\n"


class Told(NamedTuple):
    """What the copy has said, and the folder that holds it and what it has made."""

    folder: Path
    said: dict[str, Any]


@pytest.fixture(scope="module")
def told(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Told:
    """A copy of the code with one more of each, in its one place."""
    folder = tmp_path_factory.mktemp("more")
    for part in ("src", "tools"):
        shutil.copytree(PROJECT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(PROJECT / "docs/generate.py", folder / "tools")
    package = folder / "src/regraft"
    _insert(package / "backbones/families.py", "FAMILIES = (\n", ROW)
    _insert(package / "config.py", "class Config:\n    ", FIELD.strip() + "\n    ")
    (package / "methods/wide.py").write_text(METHOD)
    (package / "activations/engines/mirror.py").write_text(ENGINE)
    (folder / "settings.yaml").write_text(SETTINGS)
    (package / "weights/sources/lab.py").write_text(SOURCE)
    (folder / "lab").mkdir()
    story = [sys.executable, "-c", STORY, str(folder), str(shapes)]
    lab = {**os.environ, "LAB": str(folder / "lab"), "COLUMNS": "200"}
    done = subprocess.run(story, capture_output=True, text=True, timeout=600, env=lab)
    assert done.returncode == 0, done.stderr
    return Told(folder, json.loads(done.stdout))


in_the_copy = pytest.mark.xdist_group("additions")  # one process makes it, once


def _insert(file: Path, after: str, text: str) -> None:
    before, found, behind = file.read_text(encoding="utf-8").partition(after)
    assert found
    file.write_text(f"{before}{found}{text}{behind}", encoding="utf-8")


@in_the_copy
def test_a_backbone_is_one_row(told: Told) -> None:
    """In the table, with its card; cut where the row says, which the contract tests of all rows then check; trained."""
    (row,) = told.said["models"]
    assert (row["family"], row["library"], row["input_size"]) == ("resnet_t", "timm", 176)
    assert "resnet10t" in told.said["networks"]  # tests/backbones and tests/catalog run on all of these
    assert told.said["stages"] == ["conv1", "layer1", "layer2", "layer3", "layer4"]
    about = json.loads((told.folder / "run/model/bundle.json").read_text())
    assert about["backbone"] == "resnet10t"
    (line,) = csv.DictReader((told.folder / "all/leaderboard.csv").open())
    assert (line["backbone"], line["method"]) == ("resnet10t", "wide")


@in_the_copy
def test_a_method_is_one_file_with_its_flags(told: Told) -> None:
    """Offered, told where it is misspelt, trained as its file says, read back, compared."""
    assert "wide" in told.said["methods"]  # tests/methods runs on all of these
    for command in ("help", "help of compare"):
        assert "full, scratch or wide" in told.said[command]
    assert "full, scratch or wide" in told.said["docs"]
    assert "Did you mean wide" in told.said["method wid"]
    about = json.loads((told.folder / "run/model/bundle.json").read_text())
    assert (about["method"], about["lineage"][0]["weights"]) == ("wide", "random:7")
    assert told.said["answers"] == ["blue", "green", "red", "yellow"]


@in_the_copy
def test_an_engine_is_one_file(told: Told) -> None:
    """A choice of the setting wherever it is told or checked, and taken by itself where it says that it pays."""
    assert "mirror" in told.said["engines"]  # tests/activations runs on all of these
    assert "mirror" in told.said["auto"]
    for place in ("help", "docs", "engine torche"):
        assert "auto, mirror, onnxruntime" in told.said[place]
    assert 'engine: Literal["auto", "mirror", "onnxruntime"' in told.said["keywords"]
    assert json.loads((told.folder / "run/config.json").read_text())["settings"]["engine"] == "mirror"


@in_the_copy
def test_a_setting_is_one_field(told: Told) -> None:
    """Option, keyword, row of the docs, range, entry of the run, its page and a settings file; idle where it is."""
    assert "--sharpness" in told.said["help"]
    assert "--sharpness" in told.said["help of compare"]
    assert "--sharpness" not in told.said["help of check"]
    assert "| `--sharpness` | `sharpness` | float | `1.0` | How sharp it is. |" in told.said["docs"]
    assert "    sharpness: float\n" in told.said["keywords"]
    assert "--sharpness is 9.0; expected a value from 0.0 to 4.0." in told.said["sharpness 9"]
    assert json.loads((told.folder / "run/config.json").read_text())["settings"]["sharpness"] == 2.5
    assert "Here, --method=features makes no use of --sharpness, --epochs." in told.said["features"]
    page = (told.folder / "run/report.html").read_text(encoding="utf-8")
    assert (
        '--sharpness</td><td class="text">2.5</td><td class="text">1.0</td><td class="words">How sharp it is.' in page
    )


@in_the_copy
def test_a_source_of_weights_is_one_file(told: Told) -> None:
    """Offered, in the card and the lists, with its command and licence; taken by itself where its file is here."""
    assert "imported, lab, pypi" in told.said["help"]
    assert told.said["models"][0]["sources"] == ["lab", "timm"]
    assert "lab 21 MB" in told.said["not here"]
    assert "not here: ask the lab" in told.said["not here"]
    assert f"resnet10t lab 21 MB CC0 {told.folder / 'lab/resnet10t.pth'}" in told.said["here"]
    about = json.loads((told.folder / "filled/model/bundle.json").read_text())
    assert (about["lineage"][0]["weights"], about["lineage"][0]["licence"]) == ("lab:1", "CC0 (the lab)")
