"""What the phases of a plan have in common, beside training itself."""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from regraft.config import Config
from regraft.experiments.run import Run
from regraft.experiments.train import train as train_run
from regraft.methods._plan import Phase, Plan
from regraft.run_folder import read_json
from regraft.training.batches import Examples
from regraft.training.head import Standardize
from regraft.training.history import read_history
from regraft.training.learner import plain_rows, steps


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


def epochs_run(run: Run) -> tuple[int, int]:
    """Return the number of epochs and which of them was the best."""
    losses = [float(row["val_loss"]) for row in read_history(run.folder / "history.csv")]
    return len(losses), 1 + int(np.argmin(losses))


def test_few_pictures_are_gone_through_more_often_unless_epochs_are_given(drawn: Path, tmp_path: Path) -> None:
    """Some 22 training pictures are one step an epoch: 250 steps are nine times the usual 30 epochs."""
    small: dict[str, Any] = {"weights": "random", "img_size": 32, "report": False, "lr": 1e-5, "engine": "torch"}
    few = train_run(drawn, out=tmp_path / "few", **small)
    (phase,) = read_json(few.folder / "config.json")["plan"]["phases"]
    assert (phase["epochs"], phase["times"]) == (9 * 30, 9)
    run, best = epochs_run(few)
    assert run == min(9 * 30, best + 9 * 6) > 30 + 6
    assert epochs_run(train_run(drawn, out=tmp_path / "given", epochs=30, **small))[0] <= 30


HEAD, TAIL, LINEAR = Phase("head", 5, 10, lr=0.1), Phase("tail", 4, 8, lr=0.1), Phase("fit", 5, 1, lr=0.0, linear=True)


@given(pictures=st.integers(2, 100_000), batch=st.integers(2, 512))
def test_every_phase_has_its_least_steps_and_no_more_than_an_epoch_of_each_beyond(pictures: int, batch: int) -> None:
    config = Config(batch_size=batch)
    batches = sum(start == 0 or pictures - start > 1 for start in range(0, pictures, batch))  # none of one picture
    for phase in (HEAD, TAIL):
        taken = steps(Plan("finetuned", (phase,), hidden=0), pictures, config)
        assert taken == phase.epochs * batches if phase.epochs * batches >= 250 else 250 <= taken < 2 * 250
    assert steps(Plan("features", (LINEAR,), hidden=0), pictures, config) == batches
    given_epochs = Config(batch_size=batch, epochs=8)
    assert steps(Plan("finetuned", (HEAD, TAIL), hidden=0), pictures, given_epochs) == (10 + 8) * batches
