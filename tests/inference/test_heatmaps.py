"""A heat map must say where the answer comes from, on every family, and leave the network as it was."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from regraft.backbones import FAMILIES, build
from regraft.backbones.stages import Stage
from regraft.data import decode, draw_cells
from regraft.errors import UnknownName
from regraft.experiments.train import train as train_run
from regraft.inference import bundle
from regraft.inference.classifier import Classifier
from regraft.inference.heatmaps import heat_maps, log_odds, overlay
from regraft.training.head import HeadSpec, build_head
from regraft.utils.files import read_csv

SMALLEST = [family.members[0] for family in FAMILIES if "nas" not in family.name]
LEAST = {"inception_v3": 96, "inception_resnet_v2": 96}  # px
CLASSES = ("a", "b", "c")


def classifier_of(name: str, *, own_head: bool = False) -> Classifier:
    backbone = build(name)
    if own_head:
        return Classifier(backbone, backbone.classifier.module, tuple(map(str, range(1000))))
    spec = HeadSpec(backbone.embedding_width, len(CLASSES), hidden=16)
    return Classifier(backbone, build_head(spec), CLASSES, spec)


def some_pixels(n: int, size: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (n, size, size, 3), dtype=np.uint8)


@pytest.mark.parametrize("own_head", [False, True], ids=["new_head", "own_head"])
@pytest.mark.parametrize("name", [*SMALLEST, "nasnetalarge", "vgg11_bn", "test_resnet"])
def test_every_family_says_where_it_looked_and_stays_as_it_was(name: str, own_head: bool) -> None:
    classifier, pixels = classifier_of(name, own_head=own_head), some_pixels(2, LEAST.get(name, 64))
    modules = nn.ModuleList([classifier.backbone.model, classifier.head])
    modules.requires_grad_(False)  # as a frozen network is
    next(classifier.head.parameters()).requires_grad_(True)
    classifier.head.train()
    flags = [parameter.requires_grad for parameter in modules.parameters()]
    modes = [module.training for module in modules.modules()]
    tensors = {key: value.clone() for key, value in modules.state_dict().items()}
    answered = heat_maps(classifier, pixels, device="cpu")
    maps = [
        answered,
        *(
            heat_maps(classifier, pixels, np.full(2, number), device="cpu")
            for number in range(len(classifier.classes))[:8]
        ),
    ]
    for heat in maps:
        assert (heat.shape, heat.dtype) == (pixels.shape[:3], np.float32)
        assert np.isfinite(heat).all()
        assert heat.min() >= 0
        assert heat.max() <= 1
    assert max(heat.max() for heat in maps) == 1  # of random weights, not every map has a place that speaks for it
    assert not all(np.array_equal(maps[0], other) for other in maps[1:])
    assert [parameter.requires_grad for parameter in modules.parameters()] == flags
    assert [module.training for module in modules.modules()] == modes
    assert all(parameter.grad is None for parameter in modules.parameters())
    assert all(torch.equal(value, tensors[key]) for key, value in modules.state_dict().items())


def tiny() -> Classifier:
    """A network of one stage with one convolution, and a linear head over mean and maximum."""
    torch.manual_seed(0)
    stage = Stage("only", nn.Sequential(nn.Conv2d(3, 4, 3, stride=4, padding=1), nn.ReLU(inplace=True)))
    backbone = build("squeezenet1_1")
    backbone = replace(backbone, stages=(stage,), model=stage.module, width=4)
    spec = HeadSpec(8, len(CLASSES), hidden=0)
    return Classifier(backbone, build_head(spec), CLASSES, spec)


def test_the_map_of_a_tiny_network_equals_hires_cam_by_hand() -> None:
    """Over four views: the picture and its mirror image, each moved by a pixel, a quarter of a cell, to and fro."""
    classifier, pixels, number = tiny(), some_pixels(4, 16), 2
    look, head = classifier.backbone.preprocessing, classifier.head.eval()
    found = heat_maps(classifier, pixels, np.full(4, number), device="cpu")
    for position in range(4):
        total = np.zeros((16, 16))
        for mirrored in (False, True):
            picture = pixels[position, :, ::-1] if mirrored else pixels[position]
            padded = np.pad(picture, ((1, 1), (1, 1), (0, 0)), mode="edge")
            for start in (0, 2):
                seen = torch.tensor(padded[start : start + 16, start : start + 16].copy()).permute(2, 0, 1) / 255
                seen = (seen - torch.tensor(look.mean)[:, None, None]) / torch.tensor(look.std)[:, None, None]
                maps = classifier.backbone.stages[0].module(seen[None]).detach().requires_grad_()
                probability = head(maps).softmax(1)[0, number]
                (gradient,) = torch.autograd.grad((probability / (1 - probability)).log(), maps)
                heat = sum(gradient[0, channel] * maps[0, channel] for channel in range(4)).detach()
                large = nn.functional.interpolate(heat[None, None], (16, 16), mode="bilinear")[0, 0].numpy()
                back = np.pad(large, 1, mode="edge")[2 - start : 18 - start, 2 - start : 18 - start]
                total += back[:, ::-1] if mirrored else back
        expected = np.maximum(total, 0)
        np.testing.assert_allclose(found[position], expected / (expected.max() or 1), atol=1e-5)
    assert found.any()


def test_log_odds_stay_finite_where_the_answer_is_certain() -> None:
    scores = torch.tensor([[200.0, -200.0]], requires_grad=True)
    odds = log_odds(scores, torch.tensor([0]))
    (gradient,) = torch.autograd.grad(odds.sum(), scores)
    assert odds.item() == 400
    assert gradient.tolist() == [[1, -1]]


def test_without_classes_the_answer_is_explained() -> None:
    classifier, pixels = tiny(), some_pixels(4, 16)
    with torch.inference_mode():
        answers = classifier.network()(torch.from_numpy(pixels))[0].argmax(1).numpy()
        found = heat_maps(classifier, pixels, device="cpu", batch_size=3)
    np.testing.assert_allclose(found, heat_maps(classifier, pixels, answers, device="cpu"), atol=1e-5)


def test_an_unknown_stage_is_named_with_those_there_are() -> None:
    with pytest.raises(UnknownName, match="only"):
        heat_maps(tiny(), some_pixels(1, 16), layer="layer9")


def test_an_overlay_has_the_size_of_the_picture_and_is_brightest_where_it_is_hottest() -> None:
    picture, heat = np.full((8, 6, 3), 100, np.uint8), np.zeros((8, 6), np.float32)
    heat[5, 2] = 1
    shown = np.asarray(overlay(picture, heat).convert("L"))
    assert shown.shape == (8, 6)
    assert np.unravel_index(shown.argmax(), shown.shape) == (5, 2)


def test_on_drawn_cells_the_hottest_place_is_the_parasite_and_without_training_it_is_not(tmp_path: Path) -> None:
    """The pointing game (Zhang et al. 2018), with the real weights that come along, on patients not learned from."""
    learned = draw_cells(tmp_path / "learned", per_class=80, patients=8, seed=1)
    run = train_run(learned, out=tmp_path / "run", method="features", report=False, engine="torch")
    model = bundle.load(run.folder)
    tested, look = draw_cells(tmp_path / "tested", per_class=48, patients=6, seed=2), model.backbone.preprocessing
    rows = read_csv(tested / "parasites.csv")
    pixels = np.stack([decode((tested / row["filename"]).read_bytes(), look) for row in rows])
    infected = np.full(len(rows), model.classes.index("infected"))
    torch.manual_seed(0)
    untrained = replace(model, backbone=replace(build(model.backbone.name), preprocessing=look))
    assert share_on_the_parasite(heat_maps(model, pixels, infected, device="cpu"), rows) > 0.8
    assert share_on_the_parasite(heat_maps(untrained, pixels, infected, device="cpu"), rows) < 0.3


def share_on_the_parasite(maps: np.ndarray, rows: list[dict[str, str]]) -> float:
    """Return in how many pictures the hottest place lies within the parasite's circle, drawn on 128 pixels."""
    hits = 0
    for heat, row in zip(maps, rows, strict=True):
        y, x = np.unravel_index(heat.argmax(), heat.shape)
        off = np.hypot(x + 0.5 - float(row["x"]) * len(heat) / 128, y + 0.5 - float(row["y"]) * len(heat) / 128)
        hits += bool(heat.any()) and off <= float(row["radius"]) * len(heat) / 128
    return hits / len(rows)
