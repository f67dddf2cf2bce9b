"""What predicts: for many pictures, and where nothing can be written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import regraft as public
from regraft.activations import engines
from regraft.activations.engines import Runner
from regraft.backbones import build
from regraft.data import Preprocessing, Tta
from regraft.errors import ActivationOverflow, StoreError
from regraft.inference.classifier import Classifier
from regraft.training.head import HeadSpec, build_head
from regraft.utils import files
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


def test_an_answer_from_several_views_is_the_mean_of_what_predict_says_of_turned_files(
    classifier: Classifier, shapes: Path, tmp_path: Path
) -> None:
    """Pictures are turned by NumPy and written to files; the mean is that of the logarithms."""
    pictures = sorted(shapes.rglob("*.png"))[:40:4]
    classifier = replace(
        classifier, backbone=replace(classifier.backbone, preprocessing=Preprocessing(size=72, resize=72))
    )
    found = classifier.predict(pictures, tta=Tta(8, ("flip", "turn")), device="cpu")
    for answer in found:
        plain = np.asarray(Image.open(answer.path))
        turned = [np.rot90(side, turns) for side in (plain, plain[:, ::-1]) for turns in range(4)]
        for number, pixels in enumerate(turned):
            Image.fromarray(pixels).save(tmp_path / f"{number}.png")
        each = np.stack([one.probabilities for one in classifier.predict(sorted(tmp_path.iterdir()), device="cpu")])  # type: ignore[misc]
        mean = np.exp(np.log(each).mean(0))
        assert answer.probabilities is not None
        np.testing.assert_allclose(answer.probabilities, mean / mean.sum(), atol=1e-5)
        assert not np.allclose(answer.probabilities, each[0], atol=1e-6)  # the plain picture alone says something else


def test_a_symmetric_picture_is_answered_alike_from_all_its_views(classifier: Classifier, tmp_path: Path) -> None:
    y, x = np.mgrid[-15.5:16, -15.5:16]
    Image.fromarray(np.stack([np.hypot(x, y) * 5, abs(x * y) / 4, 99 + 0 * x], 2).astype(np.uint8)).save(
        tmp_path / "round.png"
    )
    once, often = (next(classifier.predict([tmp_path / "round.png"], tta=Tta(n, ("flip", "turn")))) for n in (1, 8))
    np.testing.assert_allclose(once.probabilities, often.probabilities, rtol=1e-5)  # type: ignore[arg-type]


def test_several_views_answer_alike_in_any_company_and_pass_bad_pictures_by(
    classifier: Classifier, picture: Path, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"none")
    asked = {"tta": Tta(3, ("crop",)), "device": "cpu"}
    (alone,) = classifier.predict([picture], **asked)  # type: ignore[arg-type]
    between = list(classifier.predict([bad, picture, bad], **asked))  # type: ignore[arg-type]
    assert [answer.probabilities is None for answer in between] == [True, False, True]
    np.testing.assert_allclose(between[1].probabilities, alone.probabilities, atol=1e-6)  # type: ignore[arg-type]


SHORTER = [
    Runner(name, precision)
    for name in engines.names()
    for precision in engines.SHORTER
    if name != "torch" and engines.module(name).supports(torch.device("cpu"), precision)
]
EQUAL = 2e-3  # probabilities: the rows that a head is trained on are kept in float16, others go to it as they are


@pytest.mark.parametrize("method", ["features", "finetuned"])
@pytest.mark.parametrize("runner", [Runner("torch"), *SHORTER], ids="-".join)
def test_a_model_predicts_as_its_run_did(method: str, runner: Runner, shapes: Path, tmp_path: Path) -> None:
    """With the same engine, in the same precision below what was trained."""
    of_run = {"backbone": "squeezenet1_1", "weights": "random", "method": method, "img_size": 64, "epochs": 2}
    asked = {"engine": runner.engine, "precision": runner.precision, "device": "cpu", "seed": 3, "report": False}
    run = public.train(shapes, out=tmp_path / "run", **of_run, **asked).folder
    model = public.load(run)
    assert model.about["frozen_part"] == {"engine": runner.engine, "precision": runner.precision}
    assert model._runner("auto", torch.device("cpu"), 1) == runner
    rows = files.read_csv(run / "predictions.csv", needed=["filename", "label", "prob"])
    found = public.predict(run, [shapes / row["filename"] for row in rows], device="cpu")
    assert [row["label"] for row in rows] == [row["label"] for row in found]
    np.testing.assert_allclose([float(row["prob"]) for row in rows], [row["prob"] for row in found], atol=EQUAL)


@pytest.mark.parametrize(
    "part", [None, [], {}, {"engine": "abacus", "precision": "bfloat16"}, {"engine": ["openvino"], "precision": 16}]
)
def test_what_a_bundle_says_of_an_engine_that_is_not_here_is_passed_over(classifier: Classifier, part: object) -> None:
    other = replace(classifier, about={"frozen_part": part, "trained": ["head"]})
    assert other._runner("auto", torch.device("cpu"), 1) == Runner("torch")


@pytest.mark.skipif(not SHORTER, reason="this CPU computes nothing shorter than float32")
@pytest.mark.parametrize(
    ("trained", "same"),
    [
        (["head"], True),
        (["features.9-12", "head"], True),
        (["layer4", "head"], False),
        (["head", "head"], False),
        ([], False),
    ],
)
def test_the_precision_of_the_training_is_that_of_what_was_frozen(
    classifier: Classifier, trained: list[str], same: bool
) -> None:
    """A bundle that names stages which the network does not have is not believed."""
    of_run = replace(classifier, about={"frozen_part": SHORTER[0]._asdict(), "trained": trained})
    assert of_run._runner("auto", torch.device("cpu"), 1) == (SHORTER[0] if same else Runner("torch"))
    assert of_run._runner("torch", torch.device("cpu"), 1) == Runner("torch")
    assert of_run._runner("auto", torch.device("cuda"), 1) == Runner("torch", "float16")


def test_an_engine_of_the_cpu_computes_there_on_a_machine_with_a_gpu(classifier: Classifier) -> None:
    assert classifier._runner("onnxruntime", torch.device("cuda"), 1) == Runner("onnxruntime", "float32")
    assert classifier._runner("auto", torch.device("cuda"), 1) == Runner("torch", "float16")
