"""Where labels are swapped, about as many are expected to be wrong, and these are doubted most."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax

from regraft.audit.label_errors import wrong


def drawn(count: int, classes: int, sharpness: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities, and labels that are drawn from them: a model that knows exactly what it does not know."""
    rng = np.random.default_rng(seed)
    believed = softmax(sharpness * rng.normal(size=(count, classes)), axis=1)
    return believed, np.array([rng.choice(classes, p=row) for row in believed])


def swapped(labels: np.ndarray, classes: int, share: float, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    moved = rng.permutation(len(labels))[: round(share * len(labels))]
    given = labels.copy()
    given[moved] = (given[moved] + rng.integers(1, classes, len(moved))) % classes
    return given, np.isin(np.arange(len(labels)), moved)


@pytest.mark.parametrize("share", [0.02, 0.05, 0.15])
@pytest.mark.parametrize("classes", [2, 6])
@pytest.mark.parametrize("factor", [0.4, 1.0])
def test_as_many_are_expected_as_were_swapped(classes: int, share: float, factor: float) -> None:
    believed, labels = drawn(3000, classes, 6.0)
    given, moved = swapped(labels, classes, share)
    flattened = softmax(factor * np.log(believed), axis=1)  # as a model is that noise has made unsure
    doubted = wrong(flattened, given)
    assert doubted.sum() == pytest.approx(moved.sum(), rel=0.35, abs=15)
    assert moved[np.argsort(-doubted)[: moved.sum()]].mean() > 0.6


@pytest.mark.parametrize("sharpness", [0.5, 2.0, 6.0])
def test_a_label_that_is_only_hard_to_tell_is_not_expected_to_be_wrong(sharpness: float) -> None:
    believed, labels = drawn(2000, 3, sharpness)
    assert wrong(believed, labels).sum() < 0.01 * 2000


def test_a_model_that_knows_nothing_doubts_nothing_much() -> None:
    rng = np.random.default_rng(2)
    doubted = wrong(np.full((400, 2), 0.5) + rng.normal(0, 0.01, (400, 1)) * [1, -1], rng.integers(0, 2, 400))
    assert doubted.sum() < 0.02 * 400


@given(st.integers(0, 6), st.integers(1, 4), st.booleans())
def test_whatever_is_believed_doubts_are_probabilities(count: int, classes: int, certain: bool) -> None:
    rng = np.random.default_rng(count)
    believed = np.eye(classes)[rng.integers(0, classes, count)] if certain else np.full((count, classes), 1 / classes)
    doubted = wrong(believed, rng.integers(0, classes, count))
    assert doubted.shape == (count,)
    assert np.isfinite(doubted).all()
    assert ((doubted >= 0) & (doubted <= 1)).all()
