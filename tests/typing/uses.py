"""What users write, touching every public name; `make check` runs mypy --strict over it, nothing is run."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas
from numpy.typing import NDArray
from PIL import Image
from typing_extensions import assert_type

import regraft


def train(table: pandas.DataFrame) -> regraft.Run:
    run = regraft.train("cells", out=Path("runs/cells"), epochs=5, groups=r"^C\d+", fit="crop", seed=1)
    assert_type(run, regraft.Run)
    assert_type(run.folder, Path)
    assert_type(run.test.values["accuracy"], float)
    assert_type(run.folds, tuple[regraft.Run, ...])
    assert_type([run.backbone, run.method], list[str])
    assert_type([run.mean, run.deviation], list[dict[str, float]])
    assert_type(run.seconds, float)
    assert_type(run.interrupted, bool)
    assert_type(run.stopped.epochs if run.stopped else None, int | None)
    assert_type(run.baseline.verdict if run.baseline else None, str | None)
    assert_type(list(run.threshold or {}), list[str])
    assert_type(regraft.train(table, resume=True, report=False, from_run=run, range=(0.0, 4095.0)), regraft.Run)
    assert_type(regraft.train((["a.png", "b.png"], ["a", "b"]), val=0.2), regraft.Run)
    assert_type(regraft.train((["a.png", "b.png"], ["a", "b"], [1, 2])), regraft.Run)
    assert_type(regraft.report(run), Path)
    assert_type(regraft.push("runs/cells", "hf://me/cells", public=True).url, str)
    assert_type(regraft.Run.open("runs/cells").test.n, int)
    return run


def compare() -> None:
    found = regraft.compare("cells", backbones=["resnet18"], methods="frozen", budget_s=60, folds=5)
    assert_type(found, regraft.Comparison)
    assert_type(found.to_pandas(), pandas.DataFrame)
    assert_type(found.best.accuracy, float)
    assert_type([row.backbone for row in found] * len(found), list[str])
    assert_type(regraft.predict(found.best, "a.png"), regraft.Predictions)
    assert_type(found.folder, Path)
    assert_type(found.interrupted, bool)
    assert_type(found.findings.advice(), str)
    ranked = regraft.recommend("cells", sample=500)
    assert_type(ranked, regraft.Recommendation)
    assert_type(ranked.candidates[0].probe, float)
    assert_type(ranked.advice(), str)
    assert_type(ranked.to_pandas(), pandas.DataFrame)
    assert_type([one.backbone for one in ranked.equals], list[str])
    assert_type(ranked.failed, dict[str, str])
    assert_type((ranked.data, ranked.sample, ranked.pictures, list(ranked.settings)), tuple[str, int, int, list[str]])


def check() -> None:
    found = regraft.check("cells", fail_on=["leak"])
    assert_type(found, regraft.Check)
    assert_type(found.failed_on, tuple[str, ...])
    assert_type(found.audit.counts(), dict[str, int])
    assert_type(found.rows, list[dict[str, Any]])
    assert_type(found.to_pandas(), pandas.DataFrame)
    assert_type(len(found), int)
    assert_type(found.folder, Path)
    assert_type(found.proposal.pattern if found.proposal else None, str | None)


def answer(run: regraft.Run, pixels: NDArray[np.uint8]) -> None:
    predictions = regraft.predict(run, ["a.png", Path("folder"), b"bytes", Image.new("RGB", (8, 8)), pixels], top=3)
    assert_type(predictions, regraft.Predictions)
    assert_type([predictions.pictures, predictions.unsure], list[int])
    written = regraft.predict(run, "folder", out="rows.parquet", probabilities=True, top=2)
    assert_type(written, regraft.PredictionsFile)
    assert_type(written.file, Path)
    assert_type([written.pictures, written.unreadable, written.unsure], list[int])
    assert_type(predictions[0]["label"], str | None)
    assert_type(predictions[0]["prob"], float | None)
    assert_type(predictions.labels, list[str | None])
    assert_type(predictions.probabilities, NDArray[np.float64])
    assert_type(predictions.filenames, list[str])
    assert_type(predictions.classes, tuple[str, ...])
    assert_type([row["rank"] for row in predictions.rows], list[int])
    assert_type(predictions.to_pandas(), pandas.DataFrame)
    predictions.to_arrow()  # pyright: ignore[reportUnknownMemberType]  # pyarrow says nothing of its types
    for row in predictions:
        assert_type(row["filename"], str)
    with Path("a.png").open("rb") as file:
        assert_type(regraft.predict("resnet18", file), regraft.Predictions)

    features = regraft.features(run, "folder", pool=False)
    assert_type(features, regraft.Features)
    assert_type(features.array, NDArray[np.float32])
    assert_type(features.paths, list[str])
    assert_type(features.shape, tuple[int, ...])
    assert_type(features.dtype, np.dtype[np.float32])
    assert_type(features[0], NDArray[np.float32])
    assert_type(features.to_pandas(), pandas.DataFrame)

    explained = regraft.explain(run, "folder/*.png", label="ill")
    assert_type(explained, regraft.Explanation)
    assert_type(explained.folder, Path)
    assert_type(explained[0]["heatmap"], str | None)
    assert_type([row["label"] for row in explained.rows], list[str | None])
    assert_type(explained.to_pandas(), pandas.DataFrame)


def measure(run: regraft.Run) -> None:
    model = regraft.load(run)
    assert_type(model, regraft.Classifier)
    assert_type(model.classes, tuple[str, ...])
    for prediction in model.predict(["a.png"]):
        assert_type(prediction.probabilities, NDArray[np.float32] | None)
        assert_type(prediction.label, str | None)
    found = regraft.evaluate(model, "held out", known_only=True, groups="patient")
    assert_type(found, regraft.Evaluation)
    assert_type(found.test.n, int)
    assert_type(found.skipped, dict[str, str])
    assert_type(found.to_pandas(), pandas.DataFrame)
    assert_type((found.model, found.seconds), tuple[str, float])
    assert_type(found.classifier, regraft.Classifier | regraft.Exported)
    exported = regraft.load("cells.onnx")
    assert_type(exported, regraft.Classifier | regraft.Exported)
    assert_type([one.path for one in exported.predict("a.png")], list[Path])
    written = regraft.export(run, format="openvino", precision="float16", out="cells.xml")
    assert_type((written.file, written.verification.labels_changed), tuple[Path, int])
    assert_type(found.baseline.accuracy if found.baseline else None, float | None)
    assert_type([list(part or {}) for part in (found.threshold, found.abstain)], list[list[str]])
    assert_type(found.tta == run.tta, bool)
    assert_type(written, regraft.Export)
    assert_type(model.rule, str)
    assert_type(model.temperature, float)


def search(pixels: NDArray[np.uint8]) -> None:
    model = regraft.RegraftClassifier("resnet18", method="finetuned", lr=0.01)
    assert_type(model.fit(["a.png", Path("b.png")], ["a", "b"], groups=[1, 2]), regraft.RegraftClassifier)
    assert_type(model.predict_proba([pixels]), NDArray[np.float64])
    extractor = regraft.FeatureExtractor("resnet18", layer="layer3")
    assert_type(extractor.fit(pixels).transform([Image.new("RGB", (8, 8))]), NDArray[np.float32])


class Spoken(regraft.Progress):
    def warn(self, text: str) -> None:
        assert_type(text, str)


def listen() -> None:
    warnings.simplefilter("error", regraft.RegraftWarning)
    for progress in (True, False, None, Spoken()):
        assert_type(regraft.train("cells", progress=progress), regraft.Run)
    assert_type(regraft.predict("resnet18", "a.png", progress=True), regraft.Predictions)


def look_up() -> None:
    assert_type(regraft.__version__, str)
    assert_type(regraft.Config(epochs=5).epochs, int | None)
    assert_type(list(regraft.Config(seed=1).as_dict()), list[str])
    assert_type([network["name"] for network in regraft.models("resnet*")], list[str])
    assert_type([network["top1"] for network in regraft.models()], list[float | None])
    try:
        regraft.models("resnet5")
    except (regraft.ConfigError, regraft.DataError, regraft.UnknownName) as error:
        assert_type(error, regraft.ConfigError | regraft.DataError | regraft.UnknownName)
    except (regraft.BundleError, regraft.RunError, regraft.WeightsError, regraft.errors.BadImage):
        raise
    except regraft.RegraftError as error:
        assert_type(error, regraft.RegraftError)
