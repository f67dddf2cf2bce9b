import csv
import json
import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit
from scipy.stats import binomtest, bootstrap
from sklearn import metrics as sk

from regraft.errors import NoImages
from regraft.metrics import functions
from regraft.metrics.functions import METRICS, Scores, metrics_of, untested
from regraft.metrics.intervals import Resampling
from regraft.metrics.predictions import Predicted


def evaluate(
    probs: np.ndarray, labels: np.ndarray, classes: Sequence[str], groups: Sequence[str] | None = None, **drawn: int
) -> Scores:
    """Score with intervals drawn over pictures, or groups of them."""
    return functions.evaluate(probs, labels, classes, again=Resampling.of(len(labels), groups, **drawn))


every_metric = pytest.mark.parametrize("name", metrics_of(2))


def score(name: str, probs: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None) -> float:
    weights = np.ones(len(labels)) if weights is None else weights
    (value,) = METRICS[name].function(probs, labels, np.atleast_2d(weights))
    return float(value)


def naive(name: str, probs: np.ndarray, labels: np.ndarray) -> float:
    """The same metrics, one picture and one class at a time."""
    pairs = [(int(np.argmax(p)), int(y)) for p, y in zip(probs, labels, strict=True)]
    if name == "accuracy":
        return sum(p == y for p, y in pairs) / len(pairs)
    if name == "log_loss":
        return sum(-math.log(max(p[y], 2.0**-52)) for p, y in zip(probs, labels, strict=True)) / len(pairs)
    if name == "auroc":
        return naive_auroc(probs, labels)
    if name == "calibration_error":
        return naive_calibration_error(probs, labels)
    recalls, f1s = [], []
    for c in range(probs.shape[1]):
        hits = sum(p == y == c for p, y in pairs)
        predicted, support = sum(p == c for p, _ in pairs), sum(y == c for _, y in pairs)
        if support:  # else it was not tested
            recalls.append(hits / support)
            f1s.append(2 * hits / (predicted + support))
    return float(np.mean(recalls if name == "balanced_accuracy" else f1s))


def naive_auroc(probs: np.ndarray, labels: np.ndarray) -> float:
    areas = []
    for c in [1] if probs.shape[1] == 2 else range(probs.shape[1]):
        inside, outside = probs[labels == c, c], probs[labels != c, c]
        wins = [(a > b) + (a == b) / 2 for a in inside for b in outside]
        areas += [sum(wins) / len(wins)] if wins else []
    return sum(areas) / len(areas) if areas else math.nan


def naive_calibration_error(probs: np.ndarray, labels: np.ndarray) -> float:
    bins: dict[int, list[tuple[float, bool]]] = {}
    for p, y in zip(probs, labels, strict=True):
        confidence = float(p.max())
        bins.setdefault(min(int(15 * confidence), 14), []).append((confidence, int(p.argmax()) == y))
    gaps = (abs(sum(right for _, right in one) - sum(sure for sure, _ in one)) for one in bins.values())
    return sum(gaps) / len(labels)


@st.composite
def predictions(draw):
    """Probabilities [n, k] with many ties, labels [n]; classes may be absent."""
    n, k = draw(st.integers(1, 30)), draw(st.integers(2, 5))
    raw = np.array(draw(st.lists(st.integers(0, 4), min_size=n * k, max_size=n * k)), dtype=float).reshape(n, k)
    probs = (raw + 0.25) / (raw + 0.25).sum(1, keepdims=True)
    return probs.astype(np.float32), np.array(draw(st.lists(st.integers(0, k - 1), min_size=n, max_size=n)))


def pictures(n: int, k: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, list[str]]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, k, n)
    raw = np.exp(rng.normal(size=(n, k)) + 2 * np.eye(k)[labels])
    return raw / raw.sum(1, keepdims=True), labels, [f"class {i}" for i in range(k)]


@every_metric
@settings(max_examples=60)
@given(case=predictions())
def test_equals_a_naive_loop(name, case):
    assert score(name, *case) == pytest.approx(naive(name, *case), rel=1e-6, nan_ok=True)


@pytest.mark.parametrize("k", [2, 4])
def test_equals_scikit_learn(k):
    probs, labels, _ = pictures(300, k)
    probs = np.round(probs, 2) + 1e-3  # ties
    probs /= probs.sum(1, keepdims=True)
    guess = probs.argmax(1)
    expected = {
        "accuracy": sk.accuracy_score(labels, guess),
        "balanced_accuracy": sk.balanced_accuracy_score(labels, guess),
        "macro_f1": sk.f1_score(labels, guess, average="macro"),
        "auroc": sk.roc_auc_score(labels, probs[:, 1])
        if k == 2
        else sk.roc_auc_score(labels, probs, multi_class="ovr"),
        "log_loss": sk.log_loss(labels, probs),
    }
    found = evaluate(probs, labels, list(map(str, range(k))), bootstraps=2).values
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=1e-12)


@every_metric
@settings(max_examples=30)
@given(case=predictions(), seed=st.integers(0, 99))
def test_a_weight_is_so_many_copies_of_the_picture(name, case, seed):
    probs, labels = case
    weights = np.random.default_rng(seed).integers(0, 4, len(labels))
    weights[0] += 1
    repeated = np.repeat(probs, weights, axis=0), np.repeat(labels, weights)
    for dtype in (float, np.float32):
        assert score(name, probs, labels, weights.astype(dtype)) == pytest.approx(
            score(name, *repeated), rel=1e-9, nan_ok=True
        )


@every_metric
@settings(max_examples=30)
@given(case=predictions(), seed=st.integers(0, 99))
def test_order_does_not_matter(name, case, seed):
    order = np.random.default_rng(seed).permutation(len(case[1]))
    assert score(name, *case) == pytest.approx(score(name, case[0][order], case[1][order]), rel=1e-9, nan_ok=True)


@every_metric
@pytest.mark.parametrize("k", [2, 7])
def test_a_perfect_model_has_the_best_value_and_another_a_worse_one(name, k):
    probs, labels, _ = pictures(100, k)
    best = METRICS[name].best
    assert score(name, np.eye(k)[labels], labels) == best
    assert (score(name, probs, labels) < best) == (best > 0)


@every_metric
def test_a_class_without_pictures_changes_nothing_but_its_own_row(name):
    probs, labels, _ = pictures(60, 3)
    with_empty = np.insert(probs, 1, 0.0, axis=1), labels + (labels >= 1)
    assert score(name, *with_empty) == pytest.approx(score(name, probs, labels))
    row = evaluate(*with_empty, ["a", "empty", "b", "c"], bootstraps=50).per_class[1]
    assert row == {"label": "empty", "precision": None, "recall": None, "f1": None, "support": 0}


def test_many_draws_in_one_call_equal_one_draw_a_call():
    probs, labels, _ = pictures(80, 4)
    weights = np.random.default_rng(1).integers(0, 3, (9, 80)).astype(float)
    for name, metric in METRICS.items():
        assert metric.function(probs, labels, weights).tolist() == pytest.approx(
            [score(name, probs, labels, row) for row in weights]
        )


def test_an_undefined_auroc_is_null_in_the_json_and_the_rest_is_there():
    flat = evaluate(np.array([[0.9, 0.1], [0.4, 0.6]]), np.array([0, 0]), ["a", "b"]).as_dict()
    assert json.loads(json.dumps(flat, allow_nan=False)) == flat
    assert (flat["auroc"], flat["auroc_ci"]) == (None, [None, None])
    assert (flat["accuracy"], flat["accuracy_ci"]) == (0.5, [0.0, 1.0])
    assert list(flat) == [key for name in metrics_of(2) for key in (name, f"{name}_ci")]


def test_rows_of_the_confusion_matrix_are_the_truth():
    probs = np.eye(3)[[0, 1, 1, 2, 2]]
    scores = evaluate(probs, np.array([0, 0, 1, 2, 2]), ["a", "b", "c"], bootstraps=10)
    assert scores.confusion.tolist() == [[1, 1, 0], [0, 1, 0], [0, 0, 2]]
    assert scores.per_class[0] == {"label": "a", "precision": 1.0, "recall": 0.5, "f1": 2 / 3, "support": 2}
    assert (scores.n, scores.groups) == (5, None)


def test_the_same_seed_gives_the_same_intervals_and_they_hold_the_value():
    probs, labels, classes = pictures(200, 3)
    one, same, other = (evaluate(probs, labels, classes, seed=seed) for seed in (0, 0, 1))
    assert one.as_dict() == same.as_dict()
    assert one.intervals != other.intervals
    assert all(low < one.values[name] < high for name, (low, high) in one.intervals.items())


def test_the_interval_of_the_calibration_error_holds_it():
    """Drawn again from a sample, pictures look worse calibrated than the sample does: percentiles alone lie above."""
    rng, above = np.random.default_rng(0), 0
    for _ in range(10):
        sure = rng.uniform(0.5, 1, 40)
        labels = (rng.uniform(size=40) > sure).astype(int)
        scores = evaluate(np.stack([sure, 1 - sure], 1), labels, ["a", "b"], bootstraps=200)
        low, high = scores.intervals["calibration_error"]
        assert low <= scores.values["calibration_error"] <= high
        above += low == scores.values["calibration_error"]
    assert above


def test_chunks_do_not_show(monkeypatch):
    probs, labels, classes = pictures(200, 3)
    whole = evaluate(probs, labels, classes, bootstraps=50)
    monkeypatch.setattr("regraft.metrics.intervals.CHUNK", 1400)
    chunked = evaluate(probs, labels, classes, bootstraps=50)
    assert all(chunked.intervals[name] == pytest.approx(interval) for name, interval in whole.intervals.items())


def test_groups_of_one_are_pictures_and_one_group_alone_has_no_interval():
    probs, labels, classes = pictures(50, 2)
    singles = evaluate(probs, labels, classes, groups=[f"{i:02}" for i in range(50)])
    assert singles.as_dict() == evaluate(probs, labels, classes).as_dict()
    assert singles.groups is None
    assert all(map(math.isnan, evaluate(probs, labels, classes, groups=["p"] * 50).intervals["accuracy"]))


@pytest.mark.parametrize("right", [True, False])
def test_few_pictures_without_a_mistake_do_not_promise_certainty(right):
    """The interval of the accuracy is SciPy's exact one; of what else does not vary there is none."""
    labels = np.array([0, 1] * 3)
    scores = evaluate(np.eye(2)[labels if right else 1 - labels], labels, ["a", "b"])
    exact = binomtest(6 * right, 6).proportion_ci(0.95, "exact")
    assert scores.intervals["accuracy"] == pytest.approx((exact.low, exact.high))
    assert all(map(math.isnan, scores.intervals["auroc"]))
    twelve, groups = np.tile(labels, 4), [f"p{at % 12}" for at in range(24)]
    scores = evaluate(np.eye(2)[twelve if right else 1 - twelve], twelve, ["a", "b"], groups=groups)
    exact = binomtest(12 * right, 12).proportion_ci(0.95, "exact")  # of as many answers as there are groups
    assert scores.intervals["accuracy"] == pytest.approx((exact.low, exact.high))


def truths(probs: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Every figure but the calibration error, of so many pictures that an interval is not needed."""
    return {name: score(name, probs, labels) for name in metrics_of(2) if name != "calibration_error"}


@pytest.fixture
def only_accuracy(monkeypatch):
    """Thousands of evaluations: one row of the table is enough, the intervals are the same code for all."""
    monkeypatch.setattr("regraft.metrics.functions.METRICS", {"accuracy": METRICS["accuracy"]})


def coverage(draw, truth: float, simulations: int = 1000) -> float:
    """How often the 95 % interval of the accuracy holds the truth. draw(rng) -> right or wrong [n], groups."""
    rng, held = np.random.default_rng(0), 0
    for _ in range(simulations):
        right, groups = draw(rng)
        probs, labels = np.tile([1.0, 0.0], (len(right), 1)), np.where(right, 0, 1)
        low, high = evaluate(probs, labels, ["a", "b"], groups=groups, bootstraps=200).intervals["accuracy"]
        held += low <= truth <= high
    return held / simulations


def test_the_interval_of_a_skewed_figure_is_scipy_s():
    """A few answers that are sure and wrong make up most of the log loss."""
    rng = np.random.default_rng(3)
    true = np.where(rng.random(300) < 0.03, rng.uniform(0.0005, 0.01, 300), rng.uniform(0.8, 1, 300))
    found = evaluate(np.stack([true, 1 - true], 1), np.zeros(300, int), ["a", "b"], bootstraps=20_000)
    expected = bootstrap((-np.log(true),), np.mean, n_resamples=20_000, method="BCa", rng=rng).confidence_interval
    assert found.intervals["log_loss"] == pytest.approx(tuple(expected), rel=0.03)


def test_the_intervals_hold_the_truth_in_95_of_100_draws():
    """Of every figure but the calibration error, on the answers of a model that knows all that can be known."""

    def draw(rng, pictures):
        labels = (rng.random(pictures) < 0.3).astype(int)
        seen = rng.normal(1.4 * (2 * labels - 1), 1)
        positive = expit(2.8 * seen + np.log(0.3 / 0.7))
        return np.stack([1 - positive, positive], 1), labels

    truth = truths(*draw(np.random.default_rng(7), 1_000_000))
    rng, held = np.random.default_rng(0), Counter()
    for _ in range(1000):
        found = evaluate(*draw(rng, 400), ["a", "b"], bootstraps=200).intervals
        held.update(name for name, value in truth.items() if found[name][0] <= value <= found[name][1])
    assert all(930 <= held[name] <= 970 for name in truth), held


def test_patients_that_differ_need_the_interval_over_patients(only_accuracy):
    of = np.repeat(np.arange(100), 10)

    def draw(rng, groups):
        return rng.random(1000) < rng.beta(4, 1, 100)[of], groups

    assert 0.93 <= coverage(lambda rng: draw(rng, of), truth=0.8) <= 0.98
    assert coverage(lambda rng: draw(rng, None), truth=0.8, simulations=200) < 0.85


def patients(rng: np.random.Generator, count: int, *, differ: float, clear: float) -> tuple[np.ndarray, ...]:
    """Probabilities [n, 2], labels and groups [n] of patients who differ, in number of pictures and classes too.

    Every fourth has no picture of the second class. Each patient shifts what the model sees, and how clearly; it does
    not know by how much, and so is not as sure as it is right.
    """
    sizes = np.maximum(5, 30 * np.exp(rng.normal(0, 0.6, count))).astype(int)
    of = np.repeat(np.arange(count), sizes)
    share = np.where(rng.random(count) < 0.25, 0.0, rng.beta(2, 2, count))
    labels = (rng.random(len(of)) < share[of]).astype(int)
    clearness, shift = rng.normal(clear, differ, count), rng.normal(0, differ / 2, count)
    positive = expit(2 * clear * ((2 * labels - 1) * clearness[of] + shift[of] + rng.normal(size=len(of))))
    return np.stack([1 - positive, positive], 1), labels, of


@pytest.mark.parametrize("count", [10, 20, 40])
@pytest.mark.parametrize(("differ", "clear"), [(0.3, 1.3), (0.7, 2.0)], ids=["alike", "apart"])
def test_the_intervals_hold_what_patients_to_come_give_in_95_of_100_draws(count, differ, clear):
    """Of every figure that has one; a method that holds 95 of 100 is within 92 to 98 in all but 1 of 200 such tests."""
    truth = truths(*patients(np.random.default_rng(5), 40_000, differ=differ, clear=clear)[:2])
    rng, held, given = np.random.default_rng(count), Counter(), Counter()
    for _ in range(400):
        probs, labels, groups = patients(rng, count, differ=differ, clear=clear)
        for name, (low, high) in evaluate(probs, labels, ["a", "b"], groups=groups, bootstraps=2).intervals.items():
            given[name] += not math.isnan(low)
            held[name] += name in truth and low <= truth[name] <= high
    assert given["calibration_error"] == 0
    assert all(0.92 <= held[name] / given[name] <= 0.985 for name in truth), (held, given)
    assert min(given[name] for name in truth) > 200


def test_these_patients_alone_are_known_better_than_patients_to_come():
    """The interval of these: a bootstrap within each patient, against the textbook's error of a stratified mean."""
    probs, labels, groups = patients(np.random.default_rng(2), 30, differ=0.7, clear=1.5)
    scores = evaluate(probs, labels, ["a", "b"], groups=groups, bootstraps=4000)
    for name in ("accuracy", "balanced_accuracy", "macro_f1", "auroc", "log_loss"):
        (low, high), (lower, higher) = scores.these[name], scores.intervals[name]
        assert low < scores.values[name] < high
        assert high - low < 0.7 * (higher - lower)
    hits = probs.argmax(1) == labels
    variance = sum(hits[groups == g].var(ddof=1) * (groups == g).sum() for g in np.unique(groups)) / len(hits) ** 2
    low, high = scores.these["accuracy"]
    assert (high - low) / 2 == pytest.approx(1.96 * math.sqrt(variance), rel=0.08)
    flat = scores.as_dict()
    assert flat["accuracy_ci_these"] == [low, high]
    assert flat["accuracy_ci"] == list(scores.intervals["accuracy"])


def test_pictures_without_groups_have_one_interval():
    scores = evaluate(*pictures(100, 2))
    assert not any(key.endswith("these") for key in scores.as_dict())
    assert scores.cautions() == []


MEANS = {"balanced_accuracy", "macro_f1", "auroc"}  # over classes: a rare one counts as much as a common one


def without_interval(scores) -> set[str]:
    return {name for name, (low, _) in scores.intervals.items() if math.isnan(low)}


@pytest.mark.parametrize(("rare", "missing"), [(1, MEANS), (9, MEANS), (10, set())])
def test_from_few_pictures_of_a_class_no_mean_over_the_classes_has_an_interval(rare, missing):
    probs, labels, classes = pictures(2000, 2)
    which = np.concatenate([np.flatnonzero(labels == 0)[:300], np.flatnonzero(labels == 1)[:rare]])
    scores = evaluate(probs[which], labels[which], classes, bootstraps=100)
    assert without_interval(scores) == missing
    assert [f"'class 1' ({rare})" in said for said in scores.cautions()] == [True] * bool(missing)


def test_few_pictures_of_each_of_many_classes_do():
    labels = np.repeat(np.arange(40), 3)
    probs = np.random.default_rng(0).dirichlet(np.ones(40), 120) + np.eye(40)[labels] / 10
    scores = evaluate(probs / probs.sum(1, keepdims=True), labels, [str(at) for at in range(40)], bootstraps=100)
    assert not without_interval(scores)


@pytest.mark.parametrize(("having", "missing"), [(4, MEANS), (5, set())])
def test_from_few_groups_with_a_class_no_mean_over_the_classes_has_an_interval_for_groups_to_come(having, missing):
    groups = np.repeat(np.arange(20), 20)
    labels = ((groups < having) & (np.arange(400) % 2 == 0)).astype(int)
    shown = np.clip(0.35 + 0.3 * labels + np.random.default_rng(0).normal(0, 0.15, 400), 0.01, 0.99)
    scores = evaluate(np.stack([1 - shown, shown], 1), labels, ["a", "b"], groups=[f"p{at}" for at in groups])
    assert without_interval(scores) - {"calibration_error"} == missing
    assert not any(map(math.isnan, scores.these["auroc"]))  # of these groups there are pictures enough
    assert [said for said in scores.cautions() if "tested groups have pictures of 'b'" in said] or not missing


def test_a_class_that_is_not_tested_is_named_and_counts_in_no_figure():
    probs = np.eye(3)[[0] * 12 + [2] + [1] * 13] * 0.9 + 0.05
    scores = evaluate(probs, np.array([0] * 13 + [1] * 13), ["a", "b", "c"], bootstraps=50)
    tested = scores.per_class[:2]
    assert scores.values["macro_f1"] == pytest.approx(np.mean([row["f1"] for row in tested]))
    assert scores.values["balanced_accuracy"] == pytest.approx(np.mean([row["recall"] for row in tested]))
    assert scores.per_class[2]["f1"] is None
    assert untested(scores.per_class) == [
        "'c' was not tested: no test picture is of that class. All figures are of the other 2 classes."
    ]
    assert untested(tested) == []


@pytest.mark.parametrize(
    ("count", "wrong", "said"),
    [
        (1, 30, "Only 1 group was tested: other groups may give other figures, and there is no interval for them."),
        (9, 30, "Only 9 groups were tested: other groups may give other figures, and there is no interval for them."),
        (10, 30, "Only 10 groups were tested: other groups may give other figures, and the interval for them is wide."),
        (40, 1, "1 prediction is wrong, too few to show how groups differ: "),
        (40, 30, ""),
    ],
)
def test_what_an_interval_is_too_weak_for_is_said(count, wrong, said):
    labels = np.tile([0, 1], 200)
    answered = np.where(np.random.default_rng(0).permutation(400) < wrong, 1 - labels, labels)
    probs = 0.8 * np.eye(2)[answered] + 0.1
    scores = evaluate(probs, labels, ["a", "b"], groups=[f"p{at % count}" for at in range(400)], bootstraps=20)
    assert [sentence[: len(said)] for sentence in scores.cautions()] == [said] * bool(said)
    given = {name for name, (low, _) in scores.intervals.items() if not math.isnan(low)} - {"auroc"}
    few = {"accuracy"} if wrong < 5 else {"accuracy", "balanced_accuracy", "macro_f1", "log_loss"}
    assert given == (set() if count < 10 else few)
    assert all(low < scores.values[name] < high for name, (low, high) in scores.these.items() if name == "accuracy")


@pytest.mark.parametrize(
    ("probs", "labels", "error", "message"),
    [
        (np.zeros((0, 2)), [], NoImages, "0 pictures"),
        (np.full((2, 3), 1 / 3), [0, 1], ValueError, r"\(2, 3\), expected \(2, 2\)"),
        (np.full((2, 2), 0.5), [0, 2], ValueError, "from 0 to 2, expected 0 to 1"),
        (np.full((2, 2), np.nan), [0, 1], ValueError, "not finite"),
    ],
)
def test_what_cannot_be_scored_is_refused(probs, labels, error, message):
    with pytest.raises(error, match=message):
        evaluate(probs, np.array(labels, dtype=int), ["a", "b"])


def test_predictions_can_be_read_back(tmp_path):
    names, path = ['a "quoted", name.png', "猫/1.png", "undecodable \udcff.png"], tmp_path / "predictions.csv"
    probs = np.array([[0.1, 0.9], [0.75, 0.25], [0.5, 0.5]], dtype=np.float32)
    Predicted(probs, np.array([1, 1, 0]), None).write_csv(path, names, ["ant", "蜂"])
    with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["filename"] for row in rows] == names
    first = {"filename": names[0], "index": "1", "label": "蜂", "prob": "0.9", "truth": "蜂"}
    assert rows[0] == {**first, "prob_ant": "0.1", "prob_蜂": "0.9"}
    assert list(rows[0]) == [*first, "prob_ant", "prob_蜂"]  # new columns come behind those that programs know
    assert [(row["label"], row["truth"]) for row in rows] == [("蜂", "蜂"), ("ant", "蜂"), ("ant", "ant")]


def test_predictions_that_cannot_be_written_leave_the_old_file(tmp_path):
    path, answers = tmp_path / "predictions.csv", Predicted(np.array([[0.2, 0.8]]), np.array([0]), None)
    answers.write_csv(path, ["1.png"], ["a", "b"])
    with pytest.raises(ValueError, match="zip"):
        answers.write_csv(path, [], ["a", "b"])
    assert path.read_text() == "filename,index,label,prob,truth,prob_a,prob_b\n1.png,1,b,0.8,a,0.2,0.8\n"


# many classes


def naive_top5(probs: np.ndarray, labels: np.ndarray) -> float:
    """Five best classes, one picture at a time; among equal ones the first, as when they are listed."""
    return float(np.mean([y in np.argsort(-p, kind="stable")[:5] for p, y in zip(probs, labels, strict=True)]))


def test_top5_accuracy_equals_a_naive_loop_also_with_ties():
    rng = np.random.default_rng(0)
    for _ in range(50):
        n, k = int(rng.integers(1, 20)), int(rng.integers(2, 12))
        probs, labels = rng.integers(0, 4, (n, k)).astype(np.float32), rng.integers(0, k, n)
        (value,) = METRICS["top5_accuracy"].function(probs, labels, np.ones((1, n)))
        assert value == pytest.approx(naive_top5(probs, labels))


def test_top5_accuracy_is_told_where_there_are_more_than_five_classes():
    for k in (5, 6):
        probs, labels, classes = pictures(40, k)
        scores = evaluate(probs, labels, classes, bootstraps=50)
        assert ("top5_accuracy" in scores.values) == (k > 5)
        assert list(scores.values) == list(metrics_of(k)) == list(scores.intervals)
    assert scores.values["accuracy"] <= scores.values["top5_accuracy"] == pytest.approx(naive_top5(probs, labels))
    low, high = scores.intervals["top5_accuracy"]
    assert low <= scores.values["top5_accuracy"] <= high
