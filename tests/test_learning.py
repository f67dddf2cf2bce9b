"""What the phases of a plan have in common, beside training itself."""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence

import numpy as np
import pytest

from regraft.head import Standardize
from regraft.learning import plain_rows
from regraft.training import Examples


class Waves:
    """Rows that are computed when they are asked for: any number of them."""

    shape = (512,)

    def rows(self, which: Sequence[int], views: Sequence[int]) -> np.ndarray:
        assert set(views) <= {0}
        return np.sin(np.outer(which, 1 + np.arange(512)) / 100).astype(np.float16)


def examples(count: int) -> Examples:
    return Examples(Waves(), np.zeros(2 * count, int), np.arange(0, 2 * count, 2))


@pytest.mark.parametrize("count", [1, 256, 257, 1000])
def test_plain_rows_are_all_rows_of_the_part_in_order(count: int) -> None:
    found = np.concatenate([rows.numpy() for rows in plain_rows(examples(count))])
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, Waves().rows(range(0, 2 * count, 2), [0] * count))


def test_the_scale_of_many_embeddings_takes_no_more_memory_than_that_of_few() -> None:
    def peak(count: int) -> int:
        part = examples(count)
        tracemalloc.start()
        Standardize(512).set(plain_rows(part))
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    peak(300)  # what is imported or filled once
    assert peak(5000) < 1.15 * peak(1000)
