"""What predicts: for many pictures, and where nothing can be written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from regraft.backbones import build
from regraft.classifier import Classifier
from regraft.data import Preprocessing
from regraft.errors import ActivationOverflow, StoreError
from regraft.head import HeadSpec, build_head
from regraft.progress import Progress


class Listener(Progress):
    """Remembers what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, text: str) -> None:
        self.said.append(text)


@pytest.fixture
def classifier() -> Classifier:
    backbone = replace(build("squeezenet1_1"), preprocessing=Preprocessing(size=32, resize=32))
    spec = HeadSpec(backbone.embedding_width, 2, hidden=0)
    return Classifier(backbone, build_head(spec).eval(), ("a", "b"), spec)


@pytest.fixture
def picture(shapes: Path) -> Path:
    return next(shapes.rglob("*.png"))


def test_where_no_export_can_be_written_torch_answers(
    classifier: Classifier, picture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A read-only machine, or a full disk: 256 pictures are answered as 255 are."""
    (tmp_path / "cache").write_text("in the way")
    monkeypatch.setenv("REGRAFT_CACHE", str(tmp_path / "cache"))
    listener = Listener()
    answers = list(classifier.predict([picture] * 256, device="cpu", progress=listener))
    (alone,) = classifier.predict([picture], device="cpu")
    np.testing.assert_allclose(answers[-1].probabilities, alone.probabilities, rtol=1e-4)  # type: ignore[arg-type]
    assert "REGRAFT_CACHE" in listener.said[0]
    with pytest.raises(StoreError, match="REGRAFT_CACHE"):
        list(classifier.predict([picture], device="cpu", engine="onnxruntime"))


def test_answers_that_are_no_numbers_are_an_error(classifier: Classifier, picture: Path) -> None:
    with torch.no_grad():
        classifier.head.out.weight.fill_(torch.inf)  # type: ignore[union-attr,operator]
    with pytest.raises(ActivationOverflow, match="not numbers"):
        list(classifier.predict([picture], device="cpu"))
