"""Answers from several views of a picture: predict and eval agree, and draw them as the training did."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import regraft as package
from regraft import inference
from regraft.errors import ConfigError


def probabilities(rows: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = defaultdict(dict)
    for row in rows:
        found[row["filename"]][row["label"]] = row["prob"]
    return found


def test_predict_and_eval_answer_from_the_same_views(regraft: Callable[..., Any], small_run: Path, drawn: Path) -> None:
    folders = sorted(drawn.iterdir())
    rows = json.loads(regraft("predict", small_run, *folders, "--top", 4, "--tta", 3, "--json").out)["rows"]
    found = probabilities(rows)
    assert found != probabilities(inference.predict(small_run, folders, top=4))
    truth = np.array([found[name][Path(name).parent.name] for name in found])
    measured = json.loads(regraft("eval", small_run, drawn, "--tta", 3, "--json").out)
    assert measured["test"]["log_loss"] == pytest.approx(-np.log(truth).mean(), abs=1e-4)


def test_views_are_drawn_as_in_the_training_of_the_model(shapes: Path, drawn: Path, tmp_path: Path) -> None:
    """Of a model that learned without augmentation, every view is the plain picture."""
    plain = package.train(shapes, out=tmp_path / "plain", img_size=64, method="features", augment="", seed=0).folder
    flipped = package.train(shapes, out=tmp_path / "turn", img_size=64, method="features", augment="turn").folder
    pictures = sorted(drawn.iterdir())
    once, thrice = (inference.predict(plain, pictures, tta=views) for views in (1, 3))
    np.testing.assert_allclose([row["prob"] for row in once], [row["prob"] for row in thrice], atol=1e-5)
    once, thrice = (inference.predict(flipped, pictures, tta=views) for views in (1, 3))
    assert not np.allclose([row["prob"] for row in once], [row["prob"] for row in thrice], atol=1e-4)


@pytest.mark.parametrize("views", [0, 1001])
def test_no_view_and_too_many_are_refused(small_run: Path, drawn: Path, views: int) -> None:
    with pytest.raises(ConfigError, match=rf"--tta is {views}; expected 1"):
        inference.predict(small_run, [drawn / "red"], tta=views)
    with pytest.raises(ConfigError, match=rf"--tta is {views}; expected 1"):
        inference.evaluate(small_run, drawn, tta=views)
