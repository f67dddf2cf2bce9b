"""However unequal the classes are: the probabilities are those of the pictures given, and rare classes are found."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image

from regraft import methods
from regraft.backbones import build
from regraft.config import Config
from regraft.data import Item, Manifest
from regraft.data.tta import Tta
from regraft.experiments.train import train as train_run
from regraft.metrics.calibration import fit_temperature, tempered
from regraft.metrics.predictions import Predicted
from regraft.metrics.thresholds import class_weights, weighed
from regraft.run_folder import read_json
from regraft.training.learner import Learner, lengthened

WIDTH, TESTED = 1024, 4000  # an embedding of SqueezeNet; test pictures, so many that a share is known to 0.01


class Drawn:
    """Embeddings of pictures: points around a centre for each class, in the first few of many numbers."""

    def __init__(self, labels: np.ndarray, apart: float, seed: int) -> None:
        rng = np.random.default_rng(seed)
        centres = rng.normal(0, apart, (labels.max() + 1, 32))
        self.known = (centres[labels] + rng.normal(0, 1, (len(labels), 32))).astype(np.float32)
        self.shape, self.device = (WIDTH,), torch.device("cpu")
        self.pictures = SimpleNamespace(tta=Tta())  # each is looked at once

    def at(self, cut: int, views: int = 1, *, tta: bool = False) -> Drawn:
        return self

    def rows(self, which: Sequence[int], views: Sequence[int]) -> np.ndarray:
        return np.pad(self.known[list(which)], ((0, 0), (0, WIDTH - 32)))


class Learned(NamedTuple):
    probabilities: np.ndarray  # of the test pictures
    labels: np.ndarray
    answered: np.ndarray
    shares: np.ndarray

    @property
    def accuracy(self) -> float:
        return float((self.answered == self.labels).mean())

    @property
    def log_loss(self) -> float:
        return float(-np.log(self.probabilities[np.arange(len(self.labels)), self.labels]).mean())

    @property
    def log_loss_of_the_shares(self) -> float:
        return float(-np.log(self.shares)[self.labels].mean())

    @property
    def balanced(self) -> float:
        return float(np.mean([(self.answered == label)[self.labels == label].mean() for label in set(self.labels)]))


def learn(folder: Path, method: str, counts: np.ndarray, apart: float, weighing: str = "auto") -> Learned:
    """Learn as a run does, from embeddings instead of pictures; the test part is as unequal as the others."""
    shares = counts / counts.sum()
    sizes = {
        "train": counts,
        "val": np.maximum(1, (0.2 * counts).round()),
        "test": np.maximum(1, (TESTED * shares).round()),
    }
    parts = [
        (label, part) for part, found in sizes.items() for label, n in enumerate(found.astype(int)) for _ in range(n)
    ]
    items = [Item(Path(f"{at}.png"), f"{at}.png", label, part=part) for at, (label, part) in enumerate(parts)]
    manifest = Manifest(folder, tuple("abcde"[: len(counts)]), tuple(items))
    config, backbone = Config(backbone="squeezenet1_1", method=method), build("squeezenet1_1")
    plan = lengthened(methods.plan(backbone, config), int(counts.sum()), config)
    prefix: Any = Drawn(manifest.labels, apart, seed=len(counts))
    learner = Learner(backbone, plan, manifest, prefix, config, folder)
    head, _ = learner.learn()
    (val,), labels = learner.probabilities(head, "val"), manifest.labels
    temperature = fit_temperature(val, labels[manifest.part("val")], learner.shares)
    val, test = (
        tempered(found, temperature, learner.shares) for found in (val, learner.probabilities(head, "test")[0])
    )
    weights = class_weights(learner.shares, weighing, val)
    answered = test.argmax(1) if weights is None else weighed(test, weights)
    return Learned(test, labels[manifest.part("test")], answered, learner.shares)


def unequal(classes: int, times: float, most: int) -> np.ndarray:
    """Counts that fall from `most` to a share of it, at least four."""
    return np.maximum(4, np.geomspace(most, most / times, classes).round()).astype(int)


MOST = {"frozen": 160, "features": 400}  # pictures of the commonest class: gradient steps take longer
imbalances = pytest.mark.parametrize("times", [1.5, 10, 100])
classes_of = pytest.mark.parametrize("classes", [2, 5])


@imbalances
@classes_of
@pytest.mark.parametrize("method", ["frozen", "features"])
def test_what_can_be_told_is_told_better_than_by_who_knows_only_the_shares(
    tmp_path: Path, method: str, classes: int, times: float
) -> None:
    found = learn(tmp_path, method, unequal(classes, times, MOST[method]), apart=0.8)
    assert found.log_loss < found.log_loss_of_the_shares
    assert found.accuracy > found.shares.max() - 0.01
    assert found.balanced > 1 / classes + 0.1


@imbalances
@classes_of
@pytest.mark.parametrize("method", ["frozen", "features"])
def test_where_nothing_can_be_told_the_shares_are_answered(
    tmp_path: Path, method: str, classes: int, times: float
) -> None:
    """Noise: nobody can be better than the shares. 1.05: four rare pictures to learn from give a little by luck."""
    found = learn(tmp_path, method, unequal(classes, times, MOST[method]), apart=0.0)
    assert found.log_loss < 1.05 * found.log_loss_of_the_shares
    assert found.accuracy > found.shares.max() - 0.03
    np.testing.assert_allclose(found.probabilities.mean(0), found.shares, atol=0.05)


@pytest.mark.parametrize("times", [10, 30])
def test_weighing_finds_rare_pictures_and_costs_a_point_at_most(tmp_path: Path, times: float) -> None:
    plain, usual, alike = (
        learn(tmp_path / wish, "features", unequal(2, times, 600), apart=0.5, weighing=wish)
        for wish in ("off", "auto", "on")
    )
    assert plain.balanced < usual.balanced < alike.balanced
    assert plain.accuracy - 0.01 <= usual.accuracy
    assert plain.log_loss == usual.log_loss == alike.log_loss  # no probability has changed


@pytest.fixture(scope="module")
def unequal_pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten times as many dark pictures as bright ones, of noise that overlaps; the test part is of the same kind."""
    folder, rng = tmp_path_factory.mktemp("unequal"), np.random.default_rng(3)
    rows = ["path,label,split"]
    for part, common in (("train", 80), ("val", 30), ("test", 100)):
        for label, count, level in (("dark", common, 110), ("bright", common // 10, 135)):
            for number in range(count):
                name = f"{part}-{label}-{number}.png"
                pixels = rng.normal(level + rng.normal(0, 8), 20, (32, 32, 3)).clip(0, 255)
                Image.fromarray(pixels.astype(np.uint8)).save(folder / name)
                rows.append(f"{name},{label},{part}")
    (folder / "pictures.csv").write_text("\n".join(rows), encoding="utf-8")
    return folder / "pictures.csv"


@pytest.mark.parametrize("method", ["frozen", "finetuned", "features", "full"])
def test_a_whole_run_of_every_method_is_calibrated_for_unequal_classes(
    unequal_pictures: Path, tmp_path: Path, method: str
) -> None:
    settings: dict[str, Any] = {"backbone": "squeezenet1_1", "weights": "random", "img_size": 32, "engine": "torch"}
    run = train_run(
        unequal_pictures, out=tmp_path / "run", method=method, epochs=3, report=False, device="cpu", **settings
    )
    kept = Predicted.load(run.folder)
    shares = np.bincount(kept.labels) / len(kept.labels)
    prior = -(shares * np.log(shares)).sum()
    assert run.test.values["log_loss"] < 1.05 * prior  # three epochs from random weights learn next to nothing
    assert run.test.values["accuracy"] >= shares.max() - 0.03
    weights = read_json(run.folder / "metrics.json")["class_weights"]
    assert weights is None or 1 == weights["dark"] <= weights["bright"] <= 3
