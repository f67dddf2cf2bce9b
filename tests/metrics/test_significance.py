"""Two models on the same pictures: p-values against enumeration and simulation."""

from itertools import product
from math import comb

import numpy as np
import pytest

from regraft.metrics.significance import holm, least_p, mcnemar, pairwise, sign_flip


def hits(text: str) -> np.ndarray:
    return np.array([letter == "1" for letter in text])


@pytest.mark.parametrize(("only_first", "only_second"), [(0, 0), (1, 0), (5, 0), (7, 2), (3, 3), (20, 8)])
def test_mcnemar_counts_the_coin_tosses_that_are_as_lopsided(only_first: int, only_second: int) -> None:
    total = only_first + only_second
    as_rare = [comb(total, k) for k in range(total + 1) if comb(total, k) <= comb(total, only_first)]
    first = hits("1" * only_first + "0" * only_second + "1100")
    second = hits("0" * only_first + "1" * only_second + "1100")
    assert mcnemar(first, second) == pytest.approx(sum(as_rare) / 2**total)


def test_sign_flips_of_few_groups_are_all_tried() -> None:
    rng = np.random.default_rng(0)
    groups = [f"g{number}" for number in rng.integers(0, 6, 60)]
    first, second = rng.random(60) < 0.9, rng.random(60) < 0.7
    names = sorted(set(groups))
    differences = [sum(int(a) - int(b) for a, b, g in zip(first, second, groups, strict=True) if g == n) for n in names]
    observed = abs(sum(differences))
    patterns = list(product((-1, 1), repeat=len(names)))
    as_large = sum(abs(sum(s * d for s, d in zip(p, differences, strict=True))) >= observed for p in patterns)
    assert sign_flip(first, second, groups) == pytest.approx(as_large / len(patterns))


@pytest.mark.parametrize("count", [6, 10, 20])
def test_sign_flips_reject_a_true_null_no_more_often_than_they_should(count: int) -> None:
    rng = np.random.default_rng(1)
    groups = [str(number) for number in np.repeat(np.arange(count), 10)]
    p_values = []
    for _ in range(200):  # pictures of one group are right or wrong together, in both models independently
        first, second = (np.repeat(rng.random(count) < 0.8, 10) for _ in range(2))
        p_values.append(sign_flip(first, second, groups))
    assert np.mean(np.array(p_values) < 0.05) <= 0.1


def test_patients_count_and_not_their_pictures() -> None:
    """One patient on whom the second model fails is no proof, however many pictures there are of him."""
    first, second = np.ones(100, bool), np.concatenate([np.zeros(60, bool), np.ones(40, bool)])
    groups = ["a"] * 60 + ["b"] * 20 + ["c"] * 20
    assert mcnemar(first, second) < 1e-6
    assert sign_flip(first, second, groups) == 1.0


@pytest.mark.parametrize("groups", [3, 8, 13, 40])
@pytest.mark.parametrize("models", [2, 3, 33])
def test_no_corrected_p_value_lies_below_the_least_one(groups: int, models: int) -> None:
    """One model is right in every group, the others in none: nothing is more extreme."""
    found = {str(at): np.full(groups, at == 0) for at in range(models)}
    p_values = pairwise(found, [str(at) for at in range(groups)]).values()
    assert min(p_values) == pytest.approx(least_p(groups, models))


def test_any_number_of_models_can_be_told_apart_where_there_are_groups_enough() -> None:
    assert max(least_p(20, models) for models in range(2, 200)) < 0.05


def test_equal_models_cannot_be_told_apart() -> None:
    same = hits("1101")
    assert mcnemar(same, same) == 1.0
    assert sign_flip(same, same, list("abcd")) == 1.0


def test_holm_is_the_textbook_s_example() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_every_pair_is_there_both_ways_round() -> None:
    models = {"a": hits("1111111111"), "b": hits("0000000000"), "c": hits("1111111110")}
    found = pairwise(models, None)
    assert found.keys() == {(a, b) for a in "abc" for b in "abc" if a != b}
    assert all(found[a, b] == found[b, a] for a, b in found)
    assert found["a", "b"] == pytest.approx(3 * mcnemar(models["a"], models["b"]))
    assert pairwise({"a": models["a"]}, None) == {}
