"""Keep or compute again: the decision on cases whose answer is known, and the sentence that says why."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regraft.activations import planner
from regraft.activations.planner import Costs, Decision, human

GB = 10**9
# 10,000 pictures, 7,000 of them trained on, layer3 of ResNet-50 in half precision, a CPU's speed
USUAL: dict[str, Any] = {
    "wish": "auto",
    "row_bytes": 400_000,
    "kept": 0,
    "pictures": 10_000,
    "trained": 7_000,
    "views": 1,
    "epochs": 8,
    "seconds_per_picture": 0.05,
    "room": 20 * GB,
}


def decide(wish: str, room: int, **given: Any) -> Decision:
    """Decide for pictures, views and epochs instead of rows."""
    pictures, trained, row_bytes = given["pictures"], given["trained"], given["row_bytes"]
    rows, passes = pictures + trained * (given["views"] - 1), given["epochs"] * trained
    costs = Costs(row_bytes, rows, rows - given["kept"], pictures, passes, given["seconds_per_picture"])
    return planner.decide(wish, costs, room)


@pytest.mark.parametrize(
    ("change", "keep", "said"),
    [
        ({}, True, "with keeping"),
        ({"wish": "never"}, False, "as asked"),
        ({"wish": "always"}, True, "as asked"),
        ({"wish": "always", "room": 0}, True, "as asked"),  # whether it fits is said when it does not
        ({"room": 3 * GB}, False, "4 GB .* 3 GB are free"),
        ({"room": -1}, False, "0 bytes are free"),
        ({"views": 4}, True, "12.4 GB"),
        ({"views": 8}, False, "23.6 GB"),  # 10,000 + 7 x 7,000 rows
        ({"seconds_per_picture": 1e-4}, False, "without"),  # a fast GPU: computing beats reading back
        ({"epochs": 1, "views": 3}, False, "without"),  # more views are stored than one epoch looks at
        ({"seconds_per_picture": None, "row_bytes": 4096}, True, "41 MB"),  # pooled: nothing to weigh
        ({"seconds_per_picture": None, "row_bytes": 4096, "room": 1000}, False, "1 kB are free"),
        ({"kept": 10_000, "room": 0, "seconds_per_picture": 1e-9}, True, "kept already: 4 GB"),  # nothing left to do
        ({"kept": 10_000, "room": -1}, False, "0 bytes are free"),  # other rows of the same run need the room
        ({"kept": 9_000, "room": GB}, True, "4 GB"),  # only what is missing needs room
        ({"kept": 9_000, "room": GB // 3}, False, "400 MB more than are kept already, and 333 MB"),
        ({"kept": 9_900, "epochs": 1, "views": 1, "seconds_per_picture": 4e-3}, True, "with keeping"),
        ({"kept": 0, "epochs": 0, "views": 1, "seconds_per_picture": 4e-3}, False, "without"),
    ],
)
def test_the_cheaper_way_is_chosen_and_said(change: dict[str, Any], keep: bool, said: str) -> None:
    decision = decide(**{**USUAL, **change})
    assert decision.keep == keep
    assert re.search(said, decision.reason), decision.reason
    assert "\n" not in decision.reason


numbers = {
    "row_bytes": st.integers(1, 10**7),
    "pictures": st.integers(1, 10**6),
    "views": st.integers(1, 8),
    "epochs": st.integers(1, 100),
    "seconds_per_picture": st.none() | st.floats(1e-6, 10),
}


@given(room=st.integers(-1, 10**13), **numbers)
def test_what_does_not_fit_is_never_kept_unasked(room: int, **given: Any) -> None:
    decision = decide(wish="auto", kept=0, trained=given["pictures"], room=room, **given)
    if given["pictures"] * given["views"] * given["row_bytes"] > room:
        assert not decision.keep


@given(**numbers)
def test_more_epochs_never_speak_against_keeping_what_is_slow_to_compute(**given: Any) -> None:
    """Where reading a row is faster than computing it, and keeping pays for some epochs, it pays for more."""
    fast_to_read = {**given, "row_bytes": 1, "seconds_per_picture": given["seconds_per_picture"] or 1.0}
    few, many = (
        decide(wish="auto", kept=0, trained=given["pictures"], room=10**15, **{**fast_to_read, "epochs": epochs})
        for epochs in (given["epochs"], given["epochs"] + 1)
    )
    assert many.keep or not few.keep


@pytest.mark.parametrize(
    ("size", "said"), [(999, "999 bytes"), (2560, "2.56 kB"), (14e6, "14 MB"), (1.2e9, "1.2 GB"), (0, "0 bytes")]
)
def test_bytes_are_said_in_a_unit_that_fits(size: float, said: str) -> None:
    assert human(size) == said
