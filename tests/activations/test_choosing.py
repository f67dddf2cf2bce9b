"""What runs the frozen part: what is asked, what is kept, what is known, what is measured; and the same again."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from regraft.activations.choosing import LEAST_AGREEMENT, Trial, agreement, pick
from regraft.activations.engines import Runner, able, names
from regraft.activations.engines._export import PAYS_FROM

CPU, AUTO = torch.device("cpu"), Runner("auto", "auto")
EXACT = np.random.default_rng(0).normal(size=(16, 50)).astype(np.float32)
SHORT = [runner for runner in able(AUTO, CPU) if runner.precision != "float32"]  # what this CPU computes as well
needs_short = pytest.mark.skipif(not SHORT, reason="this CPU computes nothing shorter than float32")


def off_by(share: float) -> Callable[[Runner], list[np.ndarray]]:
    """Rows that shorter formats miss by a share of their spread."""
    noise = np.random.default_rng(1).normal(size=EXACT.shape).astype(np.float32)
    return lambda runner: [EXACT if runner.precision == "float32" else EXACT + share * noise]


def trial(folder: Path, pictures: int = PAYS_FROM, **other: object) -> Trial:
    usual = Trial(pictures, lambda _: 0, lambda _: False, off_by(0.01), lambda: folder / "record", lambda _: True)
    return dataclasses.replace(usual, **other)  # type: ignore[arg-type]


@needs_short
def test_a_shorter_format_is_taken_where_its_rows_agree(tmp_path: Path) -> None:
    choice = pick(AUTO, CPU, trial(tmp_path))
    assert choice.runner == SHORT[0]
    assert choice.agreement == pytest.approx(agreement(off_by(0.01)(SHORT[0]), [EXACT]))
    assert f"{choice.agreement:.3f}" in str(choice)


@needs_short
def test_a_shorter_format_whose_rows_do_not_agree_is_refused_and_named(tmp_path: Path) -> None:
    choice = pick(AUTO, CPU, trial(tmp_path, rows=off_by(1.0)))
    assert choice.runner == Runner("openvino", "float32")
    assert f"{SHORT[0].precision} agrees with float32 only to 0." in str(choice)


@needs_short
def test_what_is_asked_for_is_taken_as_it_is(tmp_path: Path) -> None:
    refuses = trial(tmp_path, rows=off_by(5.0))
    assert pick(Runner("openvino", SHORT[0].precision), CPU, refuses).runner == SHORT[0]
    assert pick(Runner("torch", "auto"), CPU, refuses).runner == Runner("torch", "float32")
    assert pick(Runner("auto", "float32"), CPU, refuses).runner.precision == "float32"


def test_a_few_pictures_need_no_export(tmp_path: Path) -> None:
    assert pick(AUTO, CPU, trial(tmp_path, PAYS_FROM - 1)).runner == Runner("torch", "float32")


def test_what_a_few_pictures_are_computed_in_hangs_on_no_other_run(tmp_path: Path) -> None:
    """An export that others have left is used, in float32: it gives what torch gives."""
    assert pick(AUTO, CPU, trial(tmp_path, PAYS_FROM - 1, ready=lambda _: True)).runner.precision == "float32"


@pytest.mark.parametrize("name", names())
def test_rows_that_most_pictures_have_decide(name: str, tmp_path: Path) -> None:
    kept = Runner(name, "float32")
    for count, decides in ((PAYS_FROM // 2 + 1, True), (PAYS_FROM // 2, False)):
        found = pick(AUTO, CPU, trial(tmp_path, kept=lambda runner, n=count: n if runner == kept else 0))  # type: ignore[misc]
        assert ("kept already" in found.reason) == decides
        assert found.runner == kept or not decides


@needs_short
def test_kept_rows_of_a_format_that_does_not_agree_are_left(tmp_path: Path) -> None:
    found = pick(AUTO, CPU, trial(tmp_path, rows=off_by(1.0), kept=lambda runner: PAYS_FROM * (runner == SHORT[0])))
    assert found.runner == Runner("openvino", "float32")


def test_what_is_not_known_is_timed_once_and_chosen_again(tmp_path: Path) -> None:
    ran: list[Runner] = []

    def rows(runner: Runner) -> list[np.ndarray]:
        ran.append(runner)
        if runner.engine == "openvino":
            for _ in range(20):
                np.linalg.svd(np.ones((100, 100)))
        return [EXACT]

    asked = Runner("auto", "float32")
    first = pick(asked, CPU, trial(tmp_path, rows=rows, known=lambda _: False))
    assert first.runner == Runner("onnxruntime", "float32")
    assert "times as fast here as openvino" in first.reason
    assert {runner.engine for runner in ran} == {"openvino", "onnxruntime"}
    ran.clear()
    assert pick(asked, CPU, trial(tmp_path, rows=rows, known=lambda _: False)) == first
    assert not ran


@needs_short
@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b'{"agreement openvino bfloat16": "high"}'])
def test_a_damaged_record_is_measured_again(content: bytes, tmp_path: Path) -> None:
    first = pick(AUTO, CPU, trial(tmp_path))
    (tmp_path / "record").write_bytes(content)
    assert pick(AUTO, CPU, trial(tmp_path)) == first


@given(st.floats(0.1, 10), st.floats(-100, 100))
def test_agreement_knows_no_scale_and_no_common_offset(scale: float, offset: float) -> None:
    """It is 1 for equal rows, and falls as they part."""
    rows = off_by(0.3)(Runner("openvino", "bfloat16"))
    moved = agreement([scale * rows[0].astype(np.float64) + offset], [scale * EXACT.astype(np.float64) + offset])
    assert moved == pytest.approx(agreement(rows, [EXACT]), abs=1e-4)
    assert agreement([EXACT], [EXACT]) == pytest.approx(1)


def test_of_several_cuts_the_least_counts_and_no_numbers_agree_with_nothing() -> None:
    bad = np.full_like(EXACT, np.nan)
    far = off_by(2.0)(Runner("openvino", "bfloat16"))[0]
    assert agreement([EXACT, far], [EXACT, EXACT]) < LEAST_AGREEMENT
    assert math.isnan(agreement([bad], [EXACT]))
    assert math.isnan(agreement([EXACT[:1]], [EXACT[:1]]))  # one picture has no spread
    assert math.isnan(agreement([], []))
