"""A model that is no better than always predicting one class says so first, and why."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from regraft.metrics.baseline import Baseline, Circumstances, reasons, sentences
from regraft.metrics.functions import evaluate
from regraft.metrics.intervals import Resampling

CLASSES = ("cat", "dog")
KNOWN = Circumstances(counts={"cat": 400, "dog": 300}, others=80, tested=180, size=224)


def judged(answered: np.ndarray, labels: np.ndarray, sureness: float = 0.7) -> Baseline:
    """Judge answers, each given with the same sureness."""
    probabilities = np.where(np.eye(2)[answered] == 1, sureness, 1 - sureness)
    scores = evaluate(probabilities, labels, CLASSES, again=Resampling.of(len(labels), bootstraps=300))
    return Baseline.of(answered, labels, scores, CLASSES)


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=4, max_size=60))
def test_below_is_what_counting_says(pairs: list[tuple[int, int]]) -> None:
    answered, labels = np.array(pairs).T
    found, commonest, right = judged(answered, labels), np.bincount(labels).max(), (answered == labels).sum()
    assert found.accuracy == pytest.approx(commonest / len(labels))
    assert found.as_dict()["below"] == (right < commonest)
    assert (found.verdict == "better") <= (right > commonest)


def test_always_answering_the_commonest_class_is_no_better_than_that() -> None:
    labels = np.array([0] * 90 + [1])
    assert judged(np.zeros(91, int), labels).verdict == "no better"
    assert judged(labels, labels).verdict == "no better"  # one picture is no proof
    assert judged(np.ones(91, int), labels).verdict == "worse"


def test_a_good_model_is_called_better() -> None:
    labels = np.arange(100) % 2
    answered = np.where(np.arange(100) < 90, labels, 1 - labels)
    found = judged(answered, labels)
    assert found.verdict == "better"
    assert sentences(found.as_dict(), 0.9) == []


def test_patients_that_are_few_do_not_make_a_good_model_a_bad_one() -> None:
    """A test over five patients cannot go below 0.06, and there is no interval for others; for these there is one."""
    labels = np.arange(100) % 2
    answered = np.where(np.arange(100) % 25 < 24, labels, 1 - labels)
    groups = [f"patient {number // 20}" for number in range(100)]
    probabilities = np.where(np.eye(2)[answered] == 1, 0.7, 0.3)
    scores = evaluate(probabilities, labels, CLASSES, again=Resampling.of(100, groups))
    assert Baseline.of(answered, labels, scores, CLASSES, groups).verdict == "better"


def test_runs_of_before_say_nothing() -> None:
    assert sentences(None, 0.1) == []


@pytest.mark.parametrize(
    ("known", "said"),
    [
        ({"unfinished": "stopped in the head phase after 1 of 30 epochs"}, "stopped in the head phase after 1 of 30"),
        ({"diverged": True}, "diverged"),
        ({"random": True}, "random weights"),
        ({"epochs": 1}, "1 epoch only"),
        ({"counts": {"cat": 400, "dog": 4}}, "4 training pictures of 'dog'"),
        ({"others": 1}, "only 1 is not 'cat'"),
        ({"costly": True}, "--class-weights=off"),
        ({"costly": True, "aimed": True}, "by its target"),
        ({}, "are the labels right"),
    ],
    ids=str,
)
def test_the_likeliest_reason_comes_first(known: dict[str, Any], said: str) -> None:
    labels = np.arange(180) % 2
    found = judged(np.zeros(180, int), labels)
    assert said in reasons(found, replace(KNOWN, **known))[0]


def test_a_ranking_without_a_mistake_is_not_called_chance() -> None:
    """With one rare picture, all draws of the AUROC agree: there is no interval, and nothing to doubt it by."""
    labels = np.arange(46) == 45
    sure = np.where(labels, 0.9, 0.1)
    scores = evaluate(np.stack([1 - sure, sure], 1), labels.astype(int), CLASSES)
    found = Baseline.of(labels.astype(int), labels.astype(int), scores, CLASSES)
    assert not [said for said in reasons(found, KNOWN) if "chance" in said]


def test_from_one_rare_picture_nobody_can_say_that_a_model_ranks_the_classes_better_than_chance() -> None:
    labels = (np.arange(61) == 60).astype(int)
    sure = np.where(labels, 0.3, np.linspace(0.05, 0.4, 61))  # ranked above 43 of the 60 others
    scores = evaluate(np.stack([1 - sure, sure], 1), labels, CLASSES)
    found = Baseline.of(np.zeros(61, int), labels, scores, CLASSES)
    assert scores.values["auroc"] > 0.7
    assert not [said for said in reasons(found, KNOWN) if "rank" in said]
