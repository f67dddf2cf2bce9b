"""What predicts: for many pictures, and where nothing can be written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from regraft.backbones import build
from regraft.data import Preprocessing, decode, digest, draw_view
from regraft.errors import ActivationOverflow, StoreError
from regraft.inference.classifier import Classifier
from regraft.training.head import HeadSpec, build_head
from regraft.utils.progress import Progress


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
    assert any("REGRAFT_CACHE" in said for said in listener.said)
    with pytest.raises(StoreError, match="REGRAFT_CACHE"):
        list(classifier.predict([picture], device="cpu", engine="onnxruntime"))


def test_answers_that_are_no_numbers_are_an_error(classifier: Classifier, picture: Path) -> None:
    with torch.no_grad():
        classifier.head.out.weight.fill_(torch.inf)  # type: ignore[union-attr,operator]
    with pytest.raises(ActivationOverflow, match="not numbers"):
        list(classifier.predict([picture], device="cpu"))


def test_an_answer_from_several_views_is_the_mean_over_them(classifier: Classifier, shapes: Path) -> None:
    pictures = sorted(shapes.rglob("*.png"))[:40:4]
    found = list(classifier.predict(pictures, views=4, augment=("flip", "turn", "crop"), device="cpu"))
    network = classifier.network()
    for answer in found:
        plain = decode(answer.path.read_bytes(), classifier.backbone.preprocessing)
        of = digest(plain.tobytes())
        views = [draw_view(plain, view=v, digest=of, augment=("flip", "turn", "crop"), seed=0) for v in range(4)]
        with torch.no_grad():
            each = [network(torch.from_numpy(view[None]))[0][0].numpy() for view in views]
        assert answer.probabilities is not None
        np.testing.assert_allclose(answer.probabilities, np.mean(each, axis=0), atol=1e-5)
        assert not np.allclose(answer.probabilities, each[0], atol=1e-6)  # the plain picture alone says something else


def test_several_views_answer_alike_in_any_company_and_pass_bad_pictures_by(
    classifier: Classifier, picture: Path, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"none")
    asked = {"views": 3, "augment": ("crop",), "device": "cpu"}
    (alone,) = classifier.predict([picture], **asked)  # type: ignore[arg-type]
    between = list(classifier.predict([bad, picture, bad], **asked))  # type: ignore[arg-type]
    assert [answer.probabilities is None for answer in between] == [True, False, True]
    np.testing.assert_allclose(between[1].probabilities, alone.probabilities, atol=1e-6)  # type: ignore[arg-type]
