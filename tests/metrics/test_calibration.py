"""A tempered model is as sure as it is right, and answers as before."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from regraft.experiments.train import train as train_run
from regraft.inference import bundle
from regraft.metrics.calibration import before_and_after, fit_temperature, tempered
from regraft.metrics.curves import coverage_accuracy, reliability
from regraft.metrics.predictions import Predicted
from regraft.training.head import HeadSpec, build_head
from regraft.utils.files import read_csv

TEMPERATURES = st.floats(0.2, 5)
ROWS = st.lists(st.lists(st.floats(0.01, 1), min_size=3, max_size=3), min_size=1, max_size=8).map(
    lambda rows: np.array(rows) / np.sum(rows, axis=1, keepdims=True)
)


def simulated(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities, and labels that are drawn from exactly these."""
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet([0.6, 0.6, 0.6], n)
    return probabilities, (rng.random((n, 1)) > probabilities.cumsum(1)).sum(1).clip(max=2)


@given(ROWS, TEMPERATURES)
def test_rows_sum_to_one_and_keep_their_order(probabilities: np.ndarray, temperature: float) -> None:
    found = tempered(probabilities, temperature)
    np.testing.assert_allclose(found.sum(1), 1)
    for before, after in zip(probabilities, found, strict=True):
        assert (np.diff(after[np.argsort(before, kind="stable")]) >= -1e-12).all()


@given(ROWS, TEMPERATURES)
def test_a_temperature_and_its_inverse_undo_each_other(probabilities: np.ndarray, temperature: float) -> None:
    np.testing.assert_allclose(tempered(tempered(probabilities, temperature), 1 / temperature), probabilities)
    np.testing.assert_array_equal(tempered(probabilities, 1), probabilities)


@pytest.mark.parametrize("wrong", [0.4, 1.0, 2.5])
def test_the_temperature_that_undoes_a_known_one_is_found(wrong: float) -> None:
    probabilities, labels = simulated(200_000)
    distorted = tempered(probabilities, wrong)
    assert fit_temperature(distorted, labels) == pytest.approx(1 / wrong, rel=0.05)
    part = before_and_after({"val": (distorted, labels)}, 1 / wrong)["val"]
    assert part["after"] < 0.01
    assert part["before"] > 0.03 or wrong == 1


def test_a_few_right_answers_make_no_model_certain() -> None:
    probabilities = np.tile([0.8, 0.2], (10, 1))
    found = tempered(probabilities, fit_temperature(probabilities, np.zeros(10, int)))
    assert 0.8 < found.max() < 11 / 12  # (n + 1) / (n + 2)
    certain = np.tile([0.9999, 0.0001], (10, 1))
    assert fit_temperature(certain, np.zeros(10, int)) == 1


SHARES = st.lists(st.floats(0.01, 1), min_size=3, max_size=3).map(lambda found: np.array(found) / np.sum(found))


@given(ROWS, SHARES)
def test_a_hot_model_answers_with_the_classes_shares(probabilities: np.ndarray, shares: np.ndarray) -> None:
    np.testing.assert_allclose(tempered(probabilities, 1e9, shares), np.tile(shares, (len(probabilities), 1)))


@given(ROWS, TEMPERATURES, SHARES)
def test_who_answers_with_the_shares_does_so_at_any_temperature(
    probabilities: np.ndarray, temperature: float, shares: np.ndarray
) -> None:
    np.testing.assert_allclose(tempered(shares[None], temperature, shares), shares[None])
    found = tempered(tempered(probabilities, temperature, shares), 1 / temperature, shares)
    np.testing.assert_allclose(found, probabilities)


@given(ROWS, TEMPERATURES, SHARES)
def test_the_head_and_the_temperature_of_a_bundle_together_give_the_tempered_probabilities(
    probabilities: np.ndarray, temperature: float, shares: np.ndarray
) -> None:
    head = build_head(HeadSpec(width=3, classes=3, hidden=0)).eval()
    with torch.no_grad():
        head.out.weight.copy_(torch.eye(3))
        head.out.bias.zero_()
    head.cool(temperature, shares)
    scores = head(torch.from_numpy(np.log(probabilities)).float()).double() / temperature
    np.testing.assert_allclose(
        scores.softmax(1).detach(), tempered(probabilities, temperature, shares), rtol=1e-3, atol=1e-5
    )


@pytest.mark.parametrize("rare", [1, 2])
def test_one_rare_picture_makes_no_model_surer_than_it_was_by_much(rare: int) -> None:
    """90 pictures beside it: whether the rare one got a probability of 0.6 is luck."""
    probabilities = np.array([[0.99, 0.01]] * 90 + [[0.4, 0.6]] * rare)
    labels = np.array([0] * 90 + [1] * rare)
    shares = np.array([0.99, 0.01])
    assert 0.5 < fit_temperature(probabilities, labels, shares) <= 1
    wrong = fit_temperature(probabilities, np.roll(labels, 5), shares)  # as well seen in the others: it means nothing
    assert tempered(probabilities, wrong, shares)[:, 1].max() < 0.1


def test_the_bins_are_those_of_a_naive_loop() -> None:
    probabilities, labels = simulated(300)
    for index, found in enumerate(reliability(probabilities, labels)):
        rows = [
            (row.max(), row.argmax() == label)
            for row, label in zip(probabilities, labels, strict=True)
            if index / 15 <= row.max() < (index + 1) / 15 or (index == 14 and row.max() == 1)
        ]
        assert found.pictures == len(rows)
        means = np.mean(rows, axis=0) if rows else (np.nan, np.nan)
        np.testing.assert_allclose((found.confidence, found.accuracy), means)


def test_coverage_is_that_of_a_naive_loop_and_ends_with_all_pictures() -> None:
    probabilities, labels = simulated(200)
    probabilities = np.concatenate([probabilities, probabilities])  # equal confidences
    labels = np.concatenate([labels, (labels + 1) % 3])
    confidence, hits = probabilities.max(1), probabilities.argmax(1) == labels
    points = coverage_accuracy(probabilities, labels)
    assert [point.confidence for point in points] == sorted(set(confidence.tolist()), reverse=True)
    for point in points:
        answered = confidence >= point.confidence
        assert point[1:] == pytest.approx((answered.mean(), hits[answered].mean()))
    assert points[-1].coverage == 1


def test_a_run_s_bundle_and_answers_agree(small_run: Path, shapes: Path) -> None:
    said = json.loads((small_run / "metrics.json").read_text(encoding="utf-8"))
    model, kept = bundle.load(small_run), Predicted.load(small_run)
    assert model.temperature == said["calibration"]["temperature"] != 1
    assert said["calibration"]["test"]["after"] == pytest.approx(said["test"]["calibration_error"])
    lines = (small_run / "predictions.csv").read_text(encoding="utf-8").splitlines()[1:]
    found = model.predict([shapes / line.split(",")[0] for line in lines], device="cpu")
    np.testing.assert_allclose([answer.probabilities for answer in found], kept.probabilities, atol=0.02)  # type: ignore[arg-type,misc]


@pytest.mark.real
def test_on_blood_cells_the_error_falls_and_the_accuracy_stays(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REGRAFT_WEIGHTS", str(shared / "weights"))
    run = train_run(
        shared / "data" / "malaria", out=tmp_path / "run", backbone="squeezenet1_1", method="frozen", img_size=96
    )
    found = json.loads((run.folder / "metrics.json").read_text(encoding="utf-8"))["calibration"]
    assert found["temperature"] < 1  # label smoothing makes a model less sure than it is right
    assert found["test"]["after"] < found["test"]["before"]
    kept = Predicted.load(run.folder)
    shares = np.bincount([row["label"] == "Uninfected" for row in read_csv(run.folder / "split.csv")])
    before = tempered(kept.probabilities, 1 / found["temperature"], shares / shares.sum())
    assert (before.argmax(1) == kept.labels).mean() == pytest.approx(kept.correct.mean(), abs=0.002)
