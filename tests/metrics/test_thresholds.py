"""A threshold reaches what was asked for and gives up least for it; what is unsure may go unanswered."""

from __future__ import annotations

import csv
import json
import math
import re
import shlex
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from PIL import Image
from scipy.stats import binomtest
from sklearn import metrics as sk

import regraft as package
from regraft.errors import BundleError, ConfigError, TargetMissed
from regraft.inference import bundle, predict
from regraft.metrics.predictions import Predicted
from regraft.metrics.thresholds import (
    TARGETS,
    Threshold,
    abstaining,
    class_weights,
    fit_threshold,
    rates,
    rounded,
    shortfall,
    too_few,
    weighed,
    weighing,
)
from regraft.reports.run_report import read
from regraft.utils.progress import Progress

CLASSES = ("healthy", "ill")
targets = pytest.mark.parametrize("target", TARGETS)


@st.composite
def answers(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities [n, 2] with many ties, labels [n] of both classes."""
    rows = draw(st.lists(st.tuples(st.integers(0, 12), st.booleans()), min_size=2, max_size=25))
    ill, labels = np.array([p / 12 for p, _ in rows]), np.array([int(y) for _, y in rows])
    assume(0 < labels.sum() < len(labels))
    return np.stack([1 - ill, ill], axis=1), labels


def rates_at(threshold: float, scores: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Count one picture at a time; nan where there is nothing to count."""
    pairs = [(p >= threshold, y == 1) for p, y in zip(scores.tolist(), labels.tolist(), strict=True)]
    hits = sum(said and is_so for said, is_so in pairs)
    called, ill = sum(said for said, _ in pairs), sum(is_so for _, is_so in pairs)
    right = sum(not said and not is_so for said, is_so in pairs)
    return {
        "recall": hits / ill,
        "precision": hits / called if called else math.nan,
        "specificity": right / (len(pairs) - ill),
    }


def useful(scores: np.ndarray, labels: np.ndarray) -> Iterator[dict[str, float]]:
    """Every way to tell something apart."""
    for level in sorted(set(scores.tolist())):
        found = rates_at(level, scores, labels)
        if found["recall"] > 0 and found["specificity"] > 0:
            yield found


def fitted(case: tuple[np.ndarray, np.ndarray], target: str, wanted: float) -> Threshold | None:
    try:
        return fit_threshold(*case, CLASSES, positive="ill", target=target, wanted=wanted)
    except TargetMissed:
        return None


# ---- the threshold --------------------------------------------------------------------------------------------------


@targets
@given(case=answers(), wanted=st.sampled_from([0.01, 0.5, 2 / 3, 0.8, 0.9, 0.99, 1.0]))
def test_the_threshold_is_the_one_that_a_naive_loop_finds(
    target: str, case: tuple[np.ndarray, np.ndarray], wanted: float
) -> None:
    scores, labels = case[0][:, 1], case[1]
    reached = [found for found in useful(scores, labels) if found[target] >= wanted]
    threshold = fitted(case, target, wanted)
    if threshold is None:
        assert not reached
        return
    other = "specificity" if target == "recall" else "recall"
    best = max(reached, key=lambda found: (found[other], found[target]))
    assert rates_at(threshold.value, scores, labels) == best
    assert threshold == Threshold("ill", threshold.value, target, wanted)


@targets
@given(case=answers(), wanted=st.floats(0.01, 1))
def test_a_stricter_threshold_misses_the_recall_or_raises_no_fewer_alarms_and_a_looser_one_finds_no_more(
    target: str, case: tuple[np.ndarray, np.ndarray], wanted: float
) -> None:
    threshold, scores, labels = fitted(case, target, wanted), case[0][:, 1], case[1]
    assume(threshold is not None)
    assert threshold is not None
    mine = rates_at(threshold.value, scores, labels)
    assert mine[target] >= wanted
    for level in set(scores.tolist()):
        found = rates_at(level, scores, labels)
        if target == "recall" and level > threshold.value:
            assert found["recall"] < wanted or found["specificity"] == mine["specificity"]
        if target != "recall" and level < threshold.value and found["specificity"] > 0:
            assert found[target] < wanted or found["recall"] == mine["recall"]


@targets
@given(case=answers(), one=st.floats(0.01, 1), other=st.floats(0.01, 1))
def test_who_asks_for_more_recall_gets_no_higher_threshold_and_for_more_of_the_others_no_lower_one(
    target: str, case: tuple[np.ndarray, np.ndarray], one: float, other: float
) -> None:
    less, more = (fitted(case, target, wanted) for wanted in sorted((one, other)))
    if more is None:
        return
    assert less is not None
    assert more.value <= less.value if target == "recall" else more.value >= less.value


@targets
@given(case=answers(), wanted=st.floats(0.01, 1))
def test_which_of_the_two_classes_comes_first_does_not_matter(
    target: str, case: tuple[np.ndarray, np.ndarray], wanted: float
) -> None:
    threshold = fitted(case, target, wanted)
    assume(threshold is not None)
    assert threshold is not None
    swapped = case[0][:, ::-1], 1 - case[1]
    assert fit_threshold(*swapped, CLASSES[::-1], positive="ill", target=target, wanted=wanted) == threshold
    mine, others = threshold.answers(case[0], CLASSES), threshold.answers(swapped[0], CLASSES[::-1])
    np.testing.assert_array_equal(mine, 1 - others)
    np.testing.assert_array_equal(mine == 1, case[0][:, 1] >= threshold.value)


def test_between_two_neighbouring_numbers_it_still_tells_them_apart() -> None:
    low = 0.5
    scores = np.array([low, np.nextafter(low, 1)])
    threshold = fitted((np.stack([1 - scores, scores], axis=1), np.array([0, 1])), "recall", 1.0)
    assert threshold is not None
    np.testing.assert_array_equal(scores >= threshold.value, [False, True])


def test_it_lies_halfway_between_the_pictures_that_it_separates() -> None:
    ill = np.array([0.1, 0.2, 0.4, 0.9])
    threshold = fitted((np.stack([1 - ill, ill], axis=1), np.array([0, 0, 1, 1])), "recall", 0.5)
    assert threshold is not None
    assert threshold.value == pytest.approx(0.3)  # not 0.65: that would miss an ill one for nothing


@pytest.mark.parametrize("labels", [[0, 0, 0], [1, 1, 1]])
def test_one_class_alone_has_no_threshold(labels: list[int]) -> None:
    with pytest.raises(TargetMissed, match="needs both"):
        fit_threshold(
            np.array([[0.2, 0.8], [0.5, 0.5], [0.9, 0.1]]),
            np.array(labels),
            CLASSES,
            positive="ill",
            target="recall",
            wanted=0.9,
        )


def test_a_target_that_only_calling_all_positive_would_reach_is_refused_with_the_most_that_can_be_had() -> None:
    ill = np.array([0.1, 0.2, 0.8, 0.9])
    case = np.stack([1 - ill, ill], axis=1), np.array([1, 0, 1, 1])
    with pytest.raises(TargetMissed, match=r"3 pictures of 'ill' and 1 others .* recall of 0.99: the most is 0.667"):
        fit_threshold(*case, CLASSES, positive="ill", target="recall", wanted=0.99)
    with pytest.raises(TargetMissed, match="none tells the classes apart"):
        fit_threshold(np.full((4, 2), 0.5), case[1], CLASSES, positive="ill", target="recall", wanted=0.5)


@pytest.mark.parametrize(
    ("target", "count", "few"),
    [("recall", 100, True), ("recall", 101, False), ("specificity", 101, True), ("precision", 101, False)],
)
def test_more_than_a_hundred_pictures_are_needed_to_know_99_per_cent(target: str, count: int, few: bool) -> None:
    labels = np.array([1] * count + [0] * (10 if target == "specificity" else 0))
    said = too_few(labels, CLASSES, positive="ill", target=target, wanted=0.99)
    assert bool(said) == few
    assert ("more than 100" in said) == few


def test_no_number_of_pictures_is_enough_for_certainty() -> None:
    assert "certainty" in too_few(np.ones(10_000, int), CLASSES, positive="ill", target="recall", wanted=1.0)


# ---- what is reached ------------------------------------------------------------------------------------------------


@given(case=answers(), seed=st.integers(0, 9))
def test_rates_are_scikit_learns(case: tuple[np.ndarray, np.ndarray], seed: int) -> None:
    truth, found = case[1] == 1, case[0][:, 1] >= 0.5
    flat = rates(found, truth, seed=seed)
    assert list(flat) == [key for name in ("recall", "precision", "specificity") for key in (name, f"{name}_ci")]
    expected = {
        "recall": sk.recall_score(truth, found),
        "precision": sk.precision_score(truth, found) if found.any() else None,
        "specificity": sk.recall_score(~truth, ~found),
    }
    assert {name: flat[name] for name in expected} == pytest.approx(expected)
    for name in expected:
        low, high = flat[f"{name}_ci"]
        assert low is None or low <= flat[name] <= high


def test_what_falls_short_of_the_target_is_said_and_what_reaches_it_is_not() -> None:
    truth = np.repeat([True, False], 20)
    reached = {"positive": "ill", "target": "recall", "wanted": 0.9, "test": rates(truth, truth)}
    assert shortfall(reached) == []
    found = truth.copy()
    found[:4] = False
    (said,) = shortfall({**reached, "test": rates(found, truth)})
    assert "A recall of 0.9 for 'ill' was asked for; on the test pictures it is 0.800" in said
    barely = {**reached, "wanted": 0.99, "test": {"recall": 0.98995, "recall_ci": [0.98, 0.995]}}
    assert "recall of 0.99 for 'ill' was asked for; on the test pictures it is 0.9899, with" in shortfall(barely)[0]
    assert shortfall({**reached, "test": rates(found[20:], truth[20:])}) == []  # no ill picture: nothing to count
    assert shortfall(None) == []


@given(st.floats(0, 1, exclude_min=True, exclude_max=True))
def test_a_threshold_never_reads_as_certainty(value: float) -> None:
    assert 0 < float(rounded(value)) < 1
    assert float(rounded(value)) == pytest.approx(value, rel=0.006)


def test_all_of_30_found_promises_no_certainty() -> None:
    truth = np.arange(90) < 30
    exact = binomtest(30, 30).proportion_ci(0.95, "exact")
    assert rates(truth, truth)["recall_ci"] == pytest.approx([exact.low, exact.high])
    patients = [f"p{number % 15}" for number in range(90)]
    of_patients = binomtest(15, 15).proportion_ci(0.95, "exact")
    assert rates(truth, truth, patients)["recall_ci"] == pytest.approx([of_patients.low, of_patients.high])


@given(case=answers(), below=st.floats(0, 1))
def test_what_is_unsure_is_not_counted_as_right_or_wrong(case: tuple[np.ndarray, np.ndarray], below: float) -> None:
    kept = [(p, y) for p, y in zip(*case, strict=True) if p.max() >= below]
    found = abstaining(*case, below)
    assert (found["below"], found["n_answered"]) == (below, len(kept))
    assert found["coverage"] == pytest.approx(len(kept) / len(case[1]))
    right = sum(int(p.argmax()) == y for p, y in kept)
    assert found["accuracy"] == (pytest.approx(right / len(kept)) if kept else None)
    assert json.loads(json.dumps(found, allow_nan=False)) == found


# ---- the command line -----------------------------------------------------------------------------------------------

SMALL = ("--img-size", 64, "--method", "features")
ASKED = ("--positive", "red", "--target-recall", 0.9)


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def said(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def draw_two(folder: Path, per_class: int, seed: int) -> Path:
    """Draw FOLDER/{blue,red}/*.png: noise of that colour."""
    rng = np.random.default_rng(seed)
    for colour, channel in (("blue", 2), ("red", 0)):
        (folder / colour).mkdir(parents=True)
        for number in range(per_class):
            pixels = rng.integers(60, 160, (48, 48, 3), dtype=np.uint8)
            pixels[..., channel] += rng.integers(30, 90, dtype=np.uint8)
            Image.fromarray(pixels).save(folder / colour / f"{colour}{number}.png")
    return folder


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Blue and red; every fourth picture lies with the other colour, so that no model is perfect. Read only."""
    folder = draw_two(tmp_path_factory.mktemp("data") / "two", per_class=40, seed=3)
    for number in range(0, 40, 4):
        for colour, other in (("blue", "red"), ("red", "blue")):
            (folder / colour / f"{colour}{number}.png").rename(folder / other / f"{colour}{number}.png")
    return folder


@pytest.fixture(scope="module")
def run(two: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("operating") / "run"
    settings: dict[str, Any] = {"img_size": 64, "method": "features", "positive": "red", "target_recall": 0.8}
    return package.train(two, out=out, **settings).folder


def test_a_run_keeps_its_threshold_and_says_what_it_reaches(run: Path) -> None:
    threshold, kept = said(run / "metrics.json")["threshold"], said(run / "model" / "bundle.json")
    assert kept["threshold"] == {key: threshold[key] for key in ("positive", "value", "target", "wanted")}
    assert (kept["threshold"]["positive"], kept["threshold"]["wanted"]) == ("red", 0.8)
    parts = read_csv(run / "split.csv")
    val = [row["label"] for row in parts if row["split"] == "val"]
    assert threshold["fitted_on"] == {"positive": val.count("red"), "other": val.count("blue")}
    assert threshold["val"]["recall"] >= 0.8
    for part in ("val", "test"):
        names = ("recall", "precision", "specificity")
        assert list(threshold[part]) == [key for name in names for key in (name, f"{name}_ci")]


def test_the_report_names_the_operating_point_and_says_when_the_target_is_missed(run: Path) -> None:
    """Told that more was asked for, the same run says that it has less."""
    assert "<dt>Operating point</dt><dd>red from a probability of" in (run / "report.html").read_text()
    figures = said(run / "metrics.json")
    for wanted in (0.1, 1.0):
        report, asked = read(run), {**figures["threshold"], "wanted": wanted}
        missed = shortfall(asked)
        report = replace(report, metrics=replace(report.metrics, threshold=asked))
        assert [one for one in report.cautions if "was asked for" in one] == missed
        assert bool(missed) == (figures["threshold"]["test"]["recall"] < wanted)


def test_a_recall_counted_on_one_patient_has_a_dash_for_an_interval_and_a_sentence(
    two: Path, regraft: Callable[..., Any], tmp_path: Path
) -> None:
    rows = ["path,label,split,group"]
    for number, path in ((int(re.sub(r"\D", "", path.stem)), path) for path in sorted(two.rglob("*.png"))):
        part = ("train", "train", "val", "test")[number // 10]
        patient = f"{part}-one" if path.parent.name == "red" else f"{part}-{number % 5}"
        rows.append(f"{path},{path.parent.name},{part},{patient}")
    (tmp_path / "cells.csv").write_text("\n".join(rows))
    asked = ("--positive", "red", "--target-recall", 0.5, "--groups", "group")
    answer = regraft("train", tmp_path / "cells.csv", *SMALL, *asked, "--out", tmp_path / "run")
    assert answer.status == 0
    assert "\n–: the pictures counted are of too few groups" in answer.out
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "<td>–</td>" in page
    assert "– to –" not in page
    assert "–: too little was counted" in page


def test_all_figures_of_the_test_part_are_those_of_the_answers_by_threshold(run: Path) -> None:
    figures, rows = said(run / "metrics.json"), read_csv(run / "predictions.csv")
    value, kept = figures["threshold"]["value"], Predicted.load(run)
    np.testing.assert_array_equal(kept.predicted == 1, kept.probabilities[:, 1] >= value)
    assert [row["label"] for row in rows] == [("blue", "red")[index] for index in kept.predicted]
    truth, answered = [row["truth"] for row in rows], [row["label"] for row in rows]
    assert figures["test"]["accuracy"] == pytest.approx(sk.accuracy_score(truth, answered)) == kept.correct.mean()
    assert figures["test"]["macro_f1"] == pytest.approx(sk.f1_score(truth, answered, average="macro"))
    assert figures["test"]["auroc"] == pytest.approx(sk.roc_auc_score(kept.labels, kept.probabilities[:, 1]))
    assert figures["confusion"] == sk.confusion_matrix(truth, answered).tolist()
    assert figures["threshold"]["test"]["recall"] == pytest.approx(sk.recall_score(kept.labels, kept.predicted))
    probs = [kept.probabilities[row, index] for row, index in enumerate(kept.predicted)]
    assert [float(row["prob"]) for row in rows] == pytest.approx(probs, rel=1e-4)


def test_predict_and_eval_answer_by_the_threshold(regraft: Callable[..., Any], run: Path, two: Path) -> None:
    threshold = bundle.load(run).threshold
    assert threshold is not None
    answer = regraft("predict", run, two, "--top", 2, "--json")
    rows = json.loads(answer.out)["rows"]
    assert "predicts 'red' from a probability of" in answer.err
    red = {row["filename"]: row["prob"] for row in rows if row["label"] == "red"}
    first = [row for row in rows if row["rank"] == 1]
    assert all((row["label"] == "red") == (red[row["filename"]] >= threshold.value - 1e-6) for row in first)
    found = json.loads(regraft("eval", run, two, "--json").out)
    figures = said(run / "metrics.json")
    assert found["n_test"] == figures["n_test"]
    assert found["test"]["accuracy"] == pytest.approx(figures["test"]["accuracy"], abs=0.1)
    assert set(found["threshold"]) == {"positive", "value", "target", "wanted", "test"}
    table = regraft("eval", run, two).out
    assert "'red' is predicted from a probability of" in table
    assert "specificity" in table


def test_a_model_at_hand_is_called_the_model(run: Path, two: Path, tmp_path: Path) -> None:
    notes: list[str] = []

    class Listening(Progress):
        def note(self, text: str) -> None:
            notes.append(text)

    model, pictures = bundle.load(run), [two / "red" / "red1.png"]
    package.predict(model, pictures, progress=Listening())
    package.explain(model, pictures, out=tmp_path / "heat", progress=Listening())
    assert notes == [f"The model predicts {model.threshold}."] * 2


def test_an_older_regraft_refuses_a_bundle_with_a_threshold_and_reads_one_without(run: Path, small_run: Path) -> None:
    """It read format 1 only, and would have answered past the threshold."""
    assert said(run / "model" / "bundle.json")["format"] == 2
    assert said(small_run / "model" / "bundle.json")["format"] == 1
    assert "threshold" not in said(small_run / "model" / "bundle.json")
    assert bundle.load(small_run).threshold is None


def test_a_bundle_with_a_threshold_is_the_same_when_it_is_saved_again(run: Path, tmp_path: Path) -> None:
    bundle.save(tmp_path / "again", bundle.load(run))
    for name in (bundle.TENSORS, bundle.ABOUT):
        assert (tmp_path / "again" / name).read_bytes() == (run / "model" / name).read_bytes()


@pytest.mark.parametrize("wrong", [{"positive": "green"}, {"value": 2}, {"value": None}, {"unknown": 1}])
def test_a_threshold_that_cannot_be_meant_is_refused(run: Path, tmp_path: Path, wrong: dict[str, Any]) -> None:
    from regraft.utils import files

    shutil.copytree(run / "model", tmp_path / "model")
    about = said(tmp_path / "model" / bundle.ABOUT)
    about["threshold"] |= wrong
    about["sha256"] = bundle.digest_of(files.sha256(tmp_path / "model" / bundle.TENSORS), about)
    (tmp_path / "model" / bundle.ABOUT).write_text(json.dumps(about), encoding="utf-8")
    with pytest.raises(BundleError, match="does not fit together"):
        bundle.load(tmp_path / "model")


def test_train_prints_what_the_threshold_reaches_and_warns_of_few_pictures(
    regraft: Callable[..., Any], two: Path, tmp_path: Path
) -> None:
    asked = ("--positive", "red", "--target-specificity", 0.9)
    answer = regraft("train", two, *SMALL, *asked, "--out", tmp_path / "run")
    assert answer.status == 0
    assert "specificity of 0.9 can be known from more than 10" in " ".join(answer.err.split())
    for word in ("'red' is predicted from", "validation", "recall", "precision", "specificity", "Fitted on 6 'red'"):
        assert word in answer.out


def test_folds_have_a_threshold_each_and_figures_of_all_answers_together(two: Path, tmp_path: Path) -> None:
    found = package.train(two, out=tmp_path / "run", img_size=64, method="features", folds=2, positive="red",
                          target_recall=0.8)  # fmt: skip
    rows, together = read_csv(found.folder / "predictions.csv"), said(found.folder / "metrics.json")
    assert "value" not in together["threshold"]
    for number, fold in enumerate(found.folds, start=1):
        own = {row["filename"]: row["label"] for row in read_csv(fold.folder / "predictions.csv")}
        assert own == {row["filename"]: row["label"] for row in rows if row["fold"] == str(number)}
        assert bundle.load(fold.folder).threshold is not None
    reds = [row["label"] == "red" for row in rows if row["truth"] == "red"]
    assert together["threshold"]["test"]["recall"] == pytest.approx(np.mean(reds))
    assert together["test"]["accuracy"] == pytest.approx(np.mean([row["label"] == row["truth"] for row in rows]))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--target-recall", 0.99), "--positive=blue or --positive=red?"),
        (("--positive", "red"), "--positive red needs a target, such as --target-recall 0.99"),
        (("--positive", "rde", "--target-recall", 0.99), "Unknown class 'rde'. Did you mean red?"),
        (("--positive", "red", "--target-recall", 1.5), "--target-recall is 1.5; expected a value from 0.01 to 1"),
        (("--positive", "red", "--target-recall", 0.9, "--target-precision", 0.9), "contradict each other"),
    ],
)
@pytest.mark.parametrize("folds", [(), ("--folds", 2)])
def test_a_target_that_cannot_be_meant_is_refused_in_one_line(
    regraft: Callable[..., Any], two: Path, tmp_path: Path, options: tuple[object, ...], says: str, folds: Any
) -> None:
    answer = regraft("train", two, *SMALL, *options, *folds, "--out", tmp_path / "run")
    assert (answer.status, len(answer.err.splitlines())) == (1, 1)
    assert says in answer.err
    assert not list(tmp_path.iterdir())


def test_four_classes_have_no_threshold(regraft: Callable[..., Any], shapes: Path, tmp_path: Path) -> None:
    answer = regraft("train", shapes, *ASKED, "--out", tmp_path / "run")
    assert (answer.status, len(answer.err.splitlines())) == (1, 1)
    assert "--target-recall is for two classes" in answer.err
    assert "has 4: blue, green, red, yellow" in answer.err


def test_what_fits_no_threshold_refuses_a_target(two: Path, tmp_path: Path) -> None:
    for command in (package.compare, package.recommend, package.check):
        with pytest.raises(ConfigError, match="makes no use of positive="):
            command(
                two, positive="red", target_recall=0.9, **({} if command is package.recommend else {"out": tmp_path})
            )


def test_a_target_that_is_missed_costs_no_training(regraft: Callable[..., Any], tmp_path: Path) -> None:
    """One of the red validation pictures is the blue one: a recall of 1 would call everything red."""
    drawn = draw_two(tmp_path / "drawn", per_class=12, seed=4)
    for colour in ("blue", "red"):
        for number, path in enumerate(sorted((drawn / colour).iterdir())):
            part = ("train", "train", "test", "val")[number % 4]
            (tmp_path / "data" / part / colour).mkdir(parents=True, exist_ok=True)
            shutil.copy(path, tmp_path / "data" / part / colour)
    val = tmp_path / "data" / "val"
    first, *others = sorted((val / "blue").iterdir())
    for path in others:
        path.unlink()
    shutil.copy(first, val / "red" / "mistaken.png")
    out = ("--out", tmp_path / "run")
    asked = ("train", tmp_path / "data", *SMALL, "--positive", "red", "--target-recall")
    answer = regraft(*asked, 1.0, *out)
    last = answer.err.splitlines()[-1]
    assert answer.status == 1
    assert last.startswith("Error: No threshold on the 4 pictures of 'red' and 1 others in the validation part")
    assert "the most is 0.750" in last
    words = shlex.split(last.partition("in seconds: ")[2])
    answer = regraft(*(word.replace("LESS", "0.75") for word in words[1:]))
    assert answer.status == 0
    assert said(tmp_path / "run" / "metrics.json")["threshold"]["val"]["recall"] == 0.75
    assert said(tmp_path / "run" / "config.json")["settings"]["target_recall"] == 0.75


def test_a_val_part_without_one_class_is_said_before_anything_is_computed(
    regraft: Callable[..., Any], two: Path, tmp_path: Path
) -> None:
    shutil.copytree(two, tmp_path / "data" / "train")
    shutil.copytree(two, tmp_path / "data" / "test")
    (tmp_path / "data" / "val" / "red").mkdir(parents=True)
    for path in sorted((tmp_path / "data" / "train" / "red").glob("red*"))[:5]:
        path.rename(tmp_path / "data" / "val" / "red" / path.name)
    answer = regraft("train", tmp_path / "data", *SMALL, *ASKED, "--out", tmp_path / "run")
    assert (answer.status, len(answer.err.splitlines())) == (1, 1)
    assert "'blue' has no picture in val" in answer.err


# ---- unsure ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def plain(two: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run without a threshold."""
    return package.train(two, out=tmp_path_factory.mktemp("plain") / "run", img_size=64, method="features").folder


def middle(run: Path, two: Path) -> float:
    """A probability that half of the pictures do not have."""
    rows = predict.predict(run, [two])
    return float(np.median([row["prob"] for row in rows])) + 1e-5


def test_unsure_pictures_get_their_probability_and_no_label(
    regraft: Callable[..., Any], plain: Path, two: Path, tmp_path: Path
) -> None:
    below, before = middle(plain, two), predict.predict(plain, [two], top=2)
    asked = ("predict", plain, two, "--top", 2, "--abstain-below", below)
    rows = json.loads(regraft(*asked, "--json").out)["rows"]
    top = {row["filename"]: row["prob"] for row in before if row["rank"] == 1}
    unsure = [row for row in rows if row["label"] is None]
    assert {row["filename"] for row in unsure} == {name for name, prob in top.items() if prob < below}
    assert 0 < len(unsure) < len(top)
    assert all((row["rank"], row["index"], row["error"]) == (1, None, "") for row in unsure)
    assert all(row["prob"] == top[row["filename"]] for row in unsure)
    assert [row for row in rows if row["label"]] == [row for row in before if top[row["filename"]] >= below]
    lines = regraft(*asked).out.splitlines()
    assert sum(f"unsure {unsure[0]['prob']:.3f}" in line for line in lines) >= 1
    assert sum(": unsure " in line for line in lines) == len(unsure)
    regraft(*asked, "-o", tmp_path / "rows.csv")
    kept = [row for row in read_csv(tmp_path / "rows.csv") if not row["label"]]
    assert [(row["index"], row["label"], float(row["prob"]), row["error"]) for row in kept] == [
        ("", "", row["prob"], "") for row in unsure
    ]


def test_eval_says_how_many_are_answered_and_how_well(regraft: Callable[..., Any], plain: Path, two: Path) -> None:
    kept = Predicted.load(plain)
    below = float(np.median(kept.probabilities.max(1)))
    answer = regraft("eval", plain, two, "--abstain-below", below, "--json")
    found = json.loads(answer.out)["abstain"]
    assert found["below"] == below
    assert 0 < found["n_answered"] < len(kept.labels)
    assert found["coverage"] == pytest.approx(found["n_answered"] / len(kept.labels))
    for name in ("coverage", "accuracy"):
        low, high = found[f"{name}_ci"]
        assert low <= found[name] <= high
    shown = regraft("eval", plain, two, "--abstain-below", below).out
    assert f"{found['n_answered']} of {len(kept.labels)} pictures" in shown
    assert "coverage" in shown


def test_where_nothing_is_sure_enough_there_is_no_accuracy(regraft: Callable[..., Any], plain: Path, two: Path) -> None:
    found = json.loads(regraft("eval", plain, two, "--abstain-below", 1, "--json").out)["abstain"]
    assert (found["n_answered"], found["coverage"], found["accuracy"]) == (0, 0, None)
    assert regraft("eval", plain, two, "--abstain-below", 1).status == 0


@pytest.mark.parametrize("command", ["predict", "eval"])
def test_two_rules_of_answering_do_not_go_together(
    regraft: Callable[..., Any], run: Path, two: Path, command: str
) -> None:
    answer = regraft(command, run, two, "--abstain-below", 0.9)
    assert (answer.status, len(answer.err.splitlines())) == (1, 1)
    assert "predicts 'red' from a probability of" in answer.err
    assert regraft(command, run, two, "--abstain-below", 1.5).status == 2


def test_in_python_a_number_that_is_no_probability_is_refused(plain: Path, two: Path) -> None:
    with pytest.raises(ConfigError, match=r"abstain_below is 90; expected a probability"):
        predict.predict(plain, [two], abstain_below=90)


# ---- rare classes ---------------------------------------------------------------------------------------------------


SHARES = st.lists(st.floats(0.01, 1), min_size=2, max_size=5).map(lambda found: np.array(found) / np.sum(found))


@given(shares=SHARES, seed=st.integers(0, 99), sureness=st.sampled_from([0.1, 1.0, 10.0]))
def test_by_default_weighing_gives_up_a_hundredth_of_the_expected_accuracy_at_most(
    shares: np.ndarray, seed: int, sureness: float
) -> None:
    probabilities = np.random.default_rng(seed).dirichlet(shares * sureness + 1e-3, 60)
    weights = class_weights(shares, "auto", probabilities)
    assert class_weights(shares, "off", probabilities) is None
    if shares.max() <= 1.5 * shares.min():
        assert weights is None
    if weights is None:
        return
    assert np.all(np.diff(np.array(weights)[np.argsort(-shares)]) >= 0)  # the rarer, the heavier
    assert 1 <= min(weights) <= max(weights) <= 3
    answered = (probabilities * weights).argmax(1)
    np.testing.assert_array_equal(weighed(probabilities, weights), answered)
    expected = probabilities[np.arange(60), answered].mean()
    assert probabilities.max(1).mean() - expected <= 0.01 + 1e-9


def test_asked_for_weights_count_each_class_by_how_rare_it_is() -> None:
    shares = np.array([0.75, 0.05, 0.2])
    assert class_weights(shares, "on", np.full((4, 3), 1 / 3)) == pytest.approx((1, 15, 3.75))
    assert class_weights(np.array([0.5, 0.5]), "on", np.full((4, 2), 0.5)) is None


def test_what_weights_do_is_said_as_a_probability_where_there_are_two_classes() -> None:
    said = weighing((1.0, 3.0), CLASSES)
    assert said == "'ill' from a probability of 0.25 on, as it is rare"
    for ill, answer in ((0.249, 0), (0.251, 1)):
        assert weighed(np.array([[1 - ill, ill]]), (1.0, 3.0)) == [answer]
    assert "'b' 3.0 times, 'c' 2.0 times, 'd' 1.0 times …" in weighing((1.0, 3.0, 2.0, 1.0), "abcd")
