"""A phase of training: what moves and what does not, and that stopping changes nothing about where it ends."""

from __future__ import annotations

import csv
import functools
import importlib
import json
import math
import os
import random
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from regraft.activations.sources import Kept
from regraft.cli import commands
from regraft.errors import RunError
from regraft.experiments.train import train as train_run
from regraft.inference import bundle
from regraft.inference.predict import open_model
from regraft.reports.run_page import report
from regraft.training.batches import Batches, Examples
from regraft.training.head import HeadSpec, build_head
from regraft.training.history import Stop, kept_epoch, read_history
from regraft.training.loop import Keeping, Trained, _threads_for, fit, predict
from regraft.training.module import AuxiliaryClassifier, Recipe, TailAndHead, warm_up_then_cosine
from regraft.utils.progress import Progress, Tick


class Rows:
    """Activations in memory: [pictures, views, *shape]."""

    def __init__(self, values: np.ndarray) -> None:
        self.values, self.shape = values, values.shape[2:]

    def rows(self, which: Any, views: Any) -> np.ndarray:
        return self.values[list(which), list(views)]  # type: ignore[no-any-return]


def clusters(count: int = 60, width: int = 8, classes: int = 3, views: int = 1, seed: int = 0) -> Examples:
    """Points around one centre for each class."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    centres = np.random.default_rng(99).normal(0, 2, (classes, width))
    rows = centres[labels][:, None] + rng.normal(0, 1, (count, views, width))
    return Examples(Rows(rows.astype(np.float16)), labels, np.arange(count), views)


def maps(count: int = 24, seed: int = 0) -> Examples:
    """Feature maps [8, 4, 4] of two classes, for tails with convolutions."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    rows = rng.normal(0, 1, (count, 1, 8, 4, 4)) + labels[:, None, None, None, None]
    return Examples(Rows(rows.astype(np.float16)), labels, np.arange(count))


def conv_tail(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 4, 1), nn.BatchNorm2d(4), nn.ReLU()
    )  # 4 channels, pooled to 8 numbers


def auxiliary(tail: nn.Sequential, classes: int = 2) -> AuxiliaryClassifier:
    """An auxiliary classifier in the middle of `conv_tail`."""
    torch.manual_seed(1)
    layers = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(1), nn.Linear(8, classes))
    return AuxiliaryClassifier(tail[2], layers, 0.3)


def head_of(width: int = 8, classes: int = 3, **spec: Any) -> nn.Module:
    return build_head(HeadSpec(width, classes, **{"hidden": 16, "dropout": 0.3, **spec}))


RECIPE = Recipe(epochs=6, lr=0.01, batch_size=16, patience=100, seed=1)


def train(folder: Path, recipe: Recipe = RECIPE, **given: Any) -> tuple[Any, nn.Module, nn.Module]:
    """Fit a fresh head (and tail, where one is given) on clusters; returns (fitted, tail, head)."""
    tail, head = given.pop("tail", None) or nn.Sequential(), given.pop("head", None) or head_of()
    examples = given.pop("examples", None) or clusters(views=2)
    val = given.pop("val", None) or clusters(30, seed=5)
    given.setdefault("every_s", 0.0)  # at every epoch, however fast it was
    folder.mkdir(parents=True, exist_ok=True)
    trained = Trained(tail, head, given.pop("frozen", ()), given.pop("auxiliaries", ()))
    of_fit = {name: given.pop(name) for name in ("device", "progress") if name in given}
    keeping = Keeping(folder / "checkpoints", folder / "history.csv", "head", **given)
    fitted = fit(trained, (examples, val), recipe, keeping, **of_fit)
    return fitted, tail, head


def tensors(*modules: nn.Module) -> list[Tensor]:
    return [tensor.clone() for module in modules for tensor in module.state_dict().values()]


def same(left: list[Tensor], right: list[Tensor]) -> bool:
    return len(left) == len(right) and all(torch.equal(a, b) for a, b in zip(left, right, strict=True))


# ---- batches --------------------------------------------------------------------------------------------------------


@given(count=st.integers(2, 200), size=st.integers(2, 40), shuffle=st.booleans(), epoch=st.integers(0, 5))
def test_every_picture_comes_once_in_an_epoch_and_never_alone(count: int, size: int, shuffle: bool, epoch: int) -> None:
    numbers = Examples(
        Rows(np.arange(count, dtype=np.float32).reshape(count, 1, 1)), np.arange(count), np.arange(count)
    )
    batches = Batches(numbers, size)
    seen = list(batches.shuffled(epoch) if shuffle else batches.plain())
    assert len(batches) == len(seen)
    assert all(2 <= len(labels) <= size + 1 for _, labels in seen)
    assert all(torch.equal(rows[:, 0].long(), labels) for rows, labels in seen)
    order = torch.cat([labels for _, labels in seen]).tolist()
    assert sorted(order) == list(range(count))
    assert shuffle or order == list(range(count))


def test_only_the_part_s_pictures_come() -> None:
    part = replace(clusters(60), which=np.array([3, 9, 50]))
    ((rows, labels),) = Batches(part, 32).plain()
    np.testing.assert_array_equal(rows, part.activations.rows([3, 9, 50], [0, 0, 0]))
    assert labels.tolist() == [0, 0, 2]


def test_every_view_comes_in_turn_and_the_plain_one_alone_where_nothing_is_learned() -> None:
    count, views = 40, 4
    rows = np.broadcast_to(np.arange(views, dtype=np.float32)[None, :, None], (count, views, 1))
    examples = Examples(Rows(rows), np.arange(count), np.arange(count), views)

    def view_of_each(epoch: int, shuffle: bool) -> dict[int, int]:
        batches = Batches(examples, 8).shuffled(epoch) if shuffle else Batches(examples, 8).plain()
        return {int(label): int(row) for x, y in batches for row, label in zip(x[:, 0], y, strict=True)}

    seen = [view_of_each(epoch, True) for epoch in range(views)]
    assert all({epoch[picture] for epoch in seen} == set(range(views)) for picture in range(count))
    assert all(len(set(epoch.values())) == views for epoch in seen)
    assert set(view_of_each(3, False).values()) == {0}


def test_the_order_differs_from_epoch_to_epoch_and_not_from_run_to_run() -> None:
    def order(epoch: int, seed: int) -> list[int]:
        examples = replace(clusters(60), labels=np.arange(60))
        return [int(label) for _, labels in Batches(examples, 8, seed).shuffled(epoch) for label in labels]

    assert order(0, 1) == order(0, 1)
    assert order(0, 1) != order(1, 1)
    assert order(0, 1) != order(0, 2)


# ---- the schedule ---------------------------------------------------------------------------------------------------


@given(steps=st.integers(1, 5000))
def test_the_rate_rises_in_a_tenth_of_the_steps_and_falls_along_a_cosine(steps: int) -> None:
    factor = warm_up_then_cosine(steps)
    rates = [factor(step) for step in range(steps + 1)]
    rising = max(1, round(steps / 10))
    assert all(0 < rate <= 1 for rate in rates[:rising])
    assert rates[rising - 1] == 1
    np.testing.assert_allclose(np.diff([0, *rates[:rising]]), 1 / rising)  # a straight line from 0
    assert all(after <= before for before, after in pairwise(rates[rising:]))
    middle = rising + (steps - rising) / 2
    assert factor(math.floor(middle)) >= 0.5 - 1e-9 or steps - rising < 2
    assert rates[-1] == pytest.approx(0, abs=1e-9) or steps == rising


def test_tail_and_head_have_rates_of_their_own_and_what_is_frozen_has_none() -> None:
    tail, head = conv_tail(), head_of()
    module = TailAndHead(tail, head, replace(RECIPE, tail_lr=0.001), frozen=[tail[0], tail[1]])
    groups = module.optimizer().param_groups
    assert [group["lr"] for group in groups] == [0.01, 0.001]
    assert {id(parameter) for parameter in groups[1]["params"]} == {
        id(p) for part in (tail[3], tail[4]) for p in part.parameters()
    }


# ---- what moves and what does not -----------------------------------------------------------------------------------


def test_an_auxiliary_classifier_counts_in_training_with_its_weight_and_nowhere_else() -> None:
    tail, head, labels = conv_tail(), head_of(classes=2), torch.tensor([0, 1, 1])
    side = auxiliary(tail)
    rows = torch.randn(3, 8, 4, 4)
    module = TailAndHead(tail, head, RECIPE, auxiliaries=[side]).eval()
    scores, seen = head(tail(rows)), side.classifier(tail[:3](rows))
    expected = F.cross_entropy(scores, labels) + 0.3 * F.cross_entropy(seen, labels)
    torch.testing.assert_close(module.loss(rows, labels), expected)
    assert torch.equal(module(rows), scores)
    assert not tail[2]._forward_hooks


def test_an_auxiliary_classifier_learns_and_moves_what_lies_before_it(tmp_path: Path) -> None:
    def ends(auxiliaries: list[AuxiliaryClassifier], tail: nn.Sequential) -> list[Tensor]:
        recipe = replace(RECIPE, epochs=2, tail_lr=0.005)
        data = {"examples": maps(), "val": maps(seed=3)}
        parts = {"tail": tail, "head": head_of(classes=2), "auxiliaries": auxiliaries}
        train(tmp_path / str(len(auxiliaries)), recipe, **parts, **data)
        return tensors(tail[0])

    tail = conv_tail()
    side = auxiliary(tail)
    before = tensors(side.classifier)
    assert not same(ends([side], tail), ends([], conv_tail()))
    assert not same(tensors(side.classifier.cpu()), before)


def test_frozen_layers_and_their_statistics_do_not_move_while_the_others_do(tmp_path: Path) -> None:
    tail, head = conv_tail(), head_of(classes=2)
    before, trained_before = tensors(tail[0], tail[1]), tensors(tail[3], tail[4])
    train(
        tmp_path,
        replace(RECIPE, tail_lr=0.01),
        tail=tail,
        head=head,
        examples=maps(),
        val=maps(seed=3),
        frozen=[tail[0], tail[1]],
    )
    assert same(tensors(tail[0], tail[1]), before)
    assert not any(torch.equal(a, b) for a, b in zip(tensors(tail[3], tail[4]), trained_before, strict=True))


def test_training_mode_is_on_for_what_trains_and_off_for_what_is_frozen() -> None:
    tail = conv_tail()
    module = TailAndHead(tail, head_of(), RECIPE, frozen=[tail[1]])
    for mode in (True, False, True):
        module.train(mode)
        assert tail[4].training == mode
        assert module.head.training == mode
        assert not tail[1].training


class Watched(nn.Module):
    """An honest layer that notes in which mode it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(8)
        self.modes: list[tuple[bool, bool]] = []

    def forward(self, x: Tensor) -> Tensor:
        self.modes.append((self.training, torch.is_grad_enabled()))
        return self.norm(x)  # type: ignore[no-any-return]


def test_every_epoch_trains_in_train_mode_and_validates_in_eval_mode(tmp_path: Path) -> None:
    watched = Watched()
    train(
        tmp_path,
        replace(RECIPE, epochs=3, tail_lr=0.01),
        tail=nn.Sequential(watched),
        head=head_of(16, classes=2),
        examples=maps(),
        val=maps(seed=3),
    )
    an_epoch = [(True, True), (True, True), (False, False)]  # 24 pictures in two batches, then validation
    assert watched.modes == an_epoch * 3
    assert not watched.training  # what comes out is ready to predict


def test_predicting_changes_nothing_and_gives_probabilities_in_order() -> None:
    tail, head, examples = conv_tail(), head_of(classes=2), maps()
    before = tensors(tail, head)
    whole = predict(tail, head, examples)
    assert same(tensors(tail, head), before)
    np.testing.assert_allclose(whole.sum(1), 1)
    back = predict(tail, head, replace(examples, which=examples.which[::-1]))
    np.testing.assert_allclose(back[::-1], whole, rtol=1e-5)


@given(
    shares=st.lists(st.integers(1, 100), min_size=2, max_size=5).map(lambda counts: np.array(counts) / sum(counts)),
    smoothing=st.sampled_from([0.0, 0.1, 0.5]),
    known=st.integers(0, 3),
)
def test_the_best_scores_are_the_true_probabilities_drawn_towards_the_shares(
    shares: np.ndarray, smoothing: float, known: int
) -> None:
    """Pictures that look alike are answered with how often each class is theirs, whatever the imbalance.

    Of `known` none is like another class's; the others tell nothing. At these scores, worked out by hand, the loss has
    no slope, and being convex it is nowhere lower.
    """
    counts = (1000 * shares).round().astype(int) + 1
    labels = np.repeat(np.arange(len(counts)), counts)
    alike = np.where((labels == 0) & (np.arange(len(labels)) % 4 < known), 1, 0)  # some of the first class stand out
    looks = np.stack([np.bincount(labels[alike == look], minlength=len(counts)) for look in (0, 1)])
    true = looks / np.maximum(looks.sum(1, keepdims=True), 1)
    prior = counts / counts.sum()
    best = torch.tensor((1 - smoothing) * true + smoothing * prior).clamp(min=1e-9).log().requires_grad_()
    recipe = replace(RECIPE, label_smoothing=smoothing, shares=tuple(prior.tolist()))
    module = TailAndHead(nn.Sequential(), head_of(classes=len(counts)), recipe)
    (slope,) = torch.autograd.grad(module._cross_entropy(best[alike], torch.from_numpy(labels)), best)
    assert slope.abs().max() < 1e-6


def test_the_validation_loss_is_that_of_all_pictures_in_whatever_order_they_come(tmp_path: Path) -> None:
    part = clusters(160, classes=2, seed=5)
    ordered = replace(part, which=np.argsort(part.labels, kind="stable")[:130])  # batches of one class alone
    _, tail, head = train(
        tmp_path,
        replace(RECIPE, epochs=1, label_smoothing=0.2, shares=(0.9, 0.1)),
        val=ordered,
        head=head_of(classes=2),
        examples=clusters(60, classes=2),
    )
    labels = part.labels[ordered.which]
    losses = -np.log(predict(tail, head, ordered)[np.arange(len(labels)), labels])
    assert val_losses(tmp_path)[0] == pytest.approx(losses.mean(), rel=1e-4)


@pytest.mark.parametrize("setting", [{"mixup": 0.4}, {"label_smoothing": 0.2}, {"weight_decay": 0.5}])
def test_a_setting_of_the_recipe_changes_the_result_and_it_still_learns(
    tmp_path: Path, setting: dict[str, float]
) -> None:
    _, *plain = train(tmp_path / "plain")
    _, *other = train(tmp_path / "other", replace(RECIPE, **setting))
    assert not same(tensors(*plain), tensors(*other))
    part = clusters(30, seed=5)
    assert (predict(*other, part).argmax(1) == part.labels).mean() > 0.8


# ---- the best epoch -------------------------------------------------------------------------------------------------


def noise() -> Examples:
    """Labels without any pattern: validation loss rises as soon as training learns them by heart."""
    examples = clusters(60)
    return replace(examples, labels=np.random.default_rng(7).integers(0, 3, 60))


def val_loss(tail: nn.Module, head: nn.Module, examples: Examples) -> float:
    chosen = predict(tail, head, examples)[np.arange(len(examples.which)), examples.labels]
    return float(-np.log(chosen).mean())


def val_losses(folder: Path) -> list[float]:
    return [float(row["val_loss"]) for row in read_history(folder / "history.csv")]


def best_epoch(folder: Path) -> int:
    losses = val_losses(folder)
    return losses.index(min(losses)) + 1


def test_the_best_epoch_is_restored_and_not_the_last(tmp_path: Path) -> None:
    val = clusters(32, seed=5)
    _, tail, head = train(tmp_path, replace(RECIPE, epochs=12, lr=0.05), examples=noise(), val=val)
    losses = val_losses(tmp_path)
    assert losses[-1] > min(losses) + 0.05
    assert val_loss(tail, head, val) == pytest.approx(min(losses), abs=1e-4)


def test_a_phase_that_makes_nothing_better_changes_nothing(tmp_path: Path) -> None:
    """What an earlier phase has learned is epoch 0: on few pictures, training more can spoil it."""
    _, _, head = train(tmp_path / "first", replace(RECIPE, epochs=20))
    before = {name: tensor.clone() for name, tensor in head.state_dict().items()}
    far = replace(RECIPE, lr=10.0, epochs=2, patience=1)
    fitted, _, head = train(tmp_path / "second", far, head=head, learned=True, val=clusters(300, seed=6))
    assert fitted.epochs_run == 2
    assert [row["epoch"] for row in read_history(tmp_path / "second" / "history.csv")] == ["0", "1", "2"]
    assert all(torch.equal(tensor, before[name]) for name, tensor in head.state_dict().items())


def test_a_phase_that_makes_things_better_is_kept(tmp_path: Path) -> None:
    _, _, head = train(tmp_path / "first", replace(RECIPE, lr=1e-5, epochs=1))
    train(tmp_path / "second", RECIPE, head=head, learned=True)
    losses = [float(row["val_loss"]) for row in read_history(tmp_path / "second" / "history.csv")]
    assert min(losses) < losses[0]


def test_patience_ends_a_phase_that_has_stopped_getting_better(tmp_path: Path) -> None:
    recipe = replace(RECIPE, epochs=40, lr=0.05, patience=3)
    fitted, *_ = train(tmp_path, recipe, examples=noise(), val=clusters(32, seed=5))
    assert fitted.epochs_run == best_epoch(tmp_path) + 3 < 40


class Said(Progress):
    """Keeps the warnings."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warn(self, text: str) -> None:
        self.warnings.append(text)


def test_a_training_whose_loss_is_never_a_number_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    examples = clusters()
    too_large = replace(examples, activations=Rows(np.full((60, 1, 8), 1e38, np.float32)))
    with pytest.raises(RunError, match=r"diverged in epoch 1 of phase 'head'.*lr="):
        train(tmp_path, examples=too_large, val=too_large)


def test_a_training_that_diverges_later_keeps_the_best_epoch_before_and_says_so(tmp_path: Path) -> None:
    plain = clusters()
    values = np.concatenate([plain.activations.rows(range(60), [0] * 60)[:, None], np.full((60, 1, 8), np.nan)], 1)
    even = np.arange(0, 60, 2)  # in the second epoch these come in their second view, which holds no numbers
    said, val = Said(), clusters(30, seed=5)
    fitted, tail, head = train(
        tmp_path, examples=Examples(Rows(values.astype(np.float32)), plain.labels, even, 2), val=val, progress=said
    )
    assert [math.isfinite(loss) for loss in val_losses(tmp_path)] == [True, False]
    assert fitted.epochs_run == 2
    assert val_loss(tail, head, val) == pytest.approx(val_losses(tmp_path)[0], abs=1e-4)
    (warning,) = said.warnings
    assert "diverged in epoch 2" in warning


def test_history_has_a_row_for_each_epoch(tmp_path: Path) -> None:
    fitted, *_ = train(tmp_path)
    rows = read_history(tmp_path / "history.csv")
    assert [(row["phase"], row["epoch"]) for row in rows] == [("head", str(epoch)) for epoch in range(1, 7)]
    assert fitted.epochs_run == 6
    assert all(0 <= float(row["val_accuracy"]) <= 1 for row in rows)
    assert all(float(row["train_loss"]) > 0 and float(row["val_loss"]) > 0 for row in rows)


def test_a_phase_s_rows_follow_those_of_the_phases_before(tmp_path: Path) -> None:
    for phase in ("first", "second", "second"):  # a phase begun again replaces its own rows only
        keeping = Keeping(tmp_path / phase, tmp_path / "history.csv", phase)
        fit(Trained(nn.Sequential(), head_of()), (clusters(), clusters(30, seed=5)), replace(RECIPE, epochs=2), keeping)
    assert [row["phase"] for row in read_history(tmp_path / "history.csv")] == ["first", "first", "second", "second"]


# ---- what is written ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("losses", "kept"),
    [
        ({"head": {1: 0.5, 2: 0.3, 3: 0.4}}, 2),
        ({"head": {1: 0.5, 2: 0.3}, "tail": {0: 0.3, 1: 0.2, 2: 0.25}}, 3),
        ({"head": {1: 0.5, 2: 0.6, 3: 0.7}, "tail": {0: 0.5, 1: 0.8}}, 1),  # nothing was gained: the head's best
        ({"tail": {0: 0.5, 1: 0.8}}, 0),  # the rows of the phase before could not be written
        ({"head": {1: math.nan, 2: 0.9}}, 2),
    ],
)
def test_the_kept_epoch_is_the_last_phase_s_best_or_the_one_it_began_with(
    losses: dict[str, dict[int, float]], kept: int
) -> None:
    rows = [
        {"phase": phase, "epoch": str(epoch), "val_loss": str(loss)}
        for phase, epochs in losses.items()
        for epoch, loss in epochs.items()
    ]
    assert kept_epoch(rows) == kept


def test_a_history_that_cannot_be_written_is_told_once_and_ends_no_training(tmp_path: Path) -> None:
    said = Said()
    keeping = Keeping(tmp_path / "checkpoints", tmp_path / "gone" / "history.csv", "head")
    parts = clusters(), clusters(30, seed=5)
    fitted = fit(Trained(nn.Sequential(), head_of()), parts, RECIPE, keeping, progress=said)
    assert fitted.epochs_run == 6
    (warning,) = said.warnings
    assert "history.csv cannot be written" in warning


def test_the_best_checkpoint_holds_no_optimizer(tmp_path: Path) -> None:
    train(tmp_path)
    best, last = (torch.load(tmp_path / "checkpoints" / f"{name}.ckpt", weights_only=True) for name in ("best", "last"))
    assert "optimizer_states" in last
    assert "optimizer_states" not in best


def test_a_phase_that_is_over_before_a_checkpoint_is_due_writes_only_its_best(tmp_path: Path) -> None:
    _, *often = train(tmp_path / "often")
    _, *once = train(tmp_path / "once", every_s=1e6)
    assert [path.name for path in (tmp_path / "once" / "checkpoints").iterdir()] == ["best.ckpt"]
    assert same(tensors(*once), tensors(*often))


def test_checkpoints_are_whole_and_hold_tensors_only(tmp_path: Path) -> None:
    *_, head = train(tmp_path)
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["best.ckpt", "last.ckpt"]
    for name in ("best.ckpt", "last.ckpt"):
        state = torch.load(tmp_path / "checkpoints" / name, weights_only=True)  # refuses code
        assert set(state["state_dict"]) == {f"head.{key}" for key in head.state_dict()}


def test_the_last_checkpoint_is_the_last_epoch_s_and_the_best_the_best_one_s(tmp_path: Path) -> None:
    """However long ago the best epoch was: what is gone on with is the last."""
    noisy = replace(RECIPE, epochs=12, lr=0.05)
    train(tmp_path, noisy, examples=noise(), val=clusters(32, seed=5))
    epochs = [
        torch.load(tmp_path / "checkpoints" / f"{name}.ckpt", weights_only=True)["epoch"] + 1
        for name in ("best", "last")
    ]
    assert epochs == [best_epoch(tmp_path), 12]
    assert best_epoch(tmp_path) < 12


def test_a_head_that_learns_alone_keeps_the_mean_of_its_last_weights(tmp_path: Path) -> None:
    """Between the weights of the first step and those of the last; a tail that learns beside it keeps its own."""

    def last(folder: Path, **given: Any) -> dict[str, Any]:
        train(tmp_path / folder, replace(RECIPE, epochs=3), **given)
        found: dict[str, Any] = torch.load(tmp_path / folder / "checkpoints" / "last.ckpt", weights_only=True)
        return found

    alone = last(Path("alone"))
    name, now = next((name, tensor) for name, tensor in alone["current_model_state"].items() if name.endswith("weight"))
    start = dict(head_of().state_dict())[name.removeprefix("head.")]
    mean = alone["state_dict"][name]
    assert not torch.equal(mean, now)
    assert (mean - start).norm() < (now - start).norm()
    assert "current_model_state" not in last(Path("beside"), tail=nn.Sequential(nn.Linear(8, 8)))


def test_one_thread_computes_where_only_a_head_trains_on_kept_rows() -> None:
    """To compute rows, the frozen network needs all of them."""
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        kept = replace(clusters(), activations=Kept([], []))
        cases = ((nn.Sequential(), kept, 1), (conv_tail(), kept, 2), (nn.Sequential(), clusters(), 2))
        for tail, examples, expected in cases:
            with _threads_for(tail, examples):
                assert torch.get_num_threads() == expected
            assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_a_job_of_slurm_trains_as_any_other_process_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"SLURM_NTASKS": "2", "SLURM_JOB_NAME": "train", "SLURM_JOB_ID": "1"}.items():
        monkeypatch.setenv(name, value)
    fitted, *_ = train(tmp_path, replace(RECIPE, epochs=1))
    assert fitted.epochs_run == 1


# ---- stopped and gone on with ---------------------------------------------------------------------------------------


class Stopped(Exception):
    pass


class StopAfter(Progress):
    """Calls `stop` when an epoch is over, before anything of it is kept: the worst moment."""

    def __init__(self, epochs: int, stop: Any, what: str = "") -> None:
        self.left, self.stop, self.what = epochs, stop, what

    @contextmanager
    def track(self, what: str, total: int, unit: str = "") -> Iterator[Tick]:
        def tick(advance: int = 1, text: str = "") -> None:
            if what.startswith("Training") and self.what in what:
                self.left -= 1
                if self.left == 0:
                    self.stop()

        yield tick


def fail() -> None:
    raise Stopped


@pytest.mark.parametrize("stop_at", [2, 3, 6])
@pytest.mark.parametrize("kind", ["head", "tail with batch norm, mixup, dropout and an auxiliary classifier"])
def test_a_phase_gone_on_with_ends_bit_for_bit_where_an_uninterrupted_one_does(
    tmp_path: Path, kind: str, stop_at: int
) -> None:
    def parts() -> dict[str, Any]:
        if kind == "head":
            return {}
        tail = conv_tail()
        data = {"examples": maps(), "val": maps(seed=3), "auxiliaries": [auxiliary(tail)]}
        return {"tail": tail, "head": head_of(classes=2), **data}

    recipe = replace(RECIPE, tail_lr=0.005, mixup=0.0 if kind == "head" else 0.3)
    _, *whole = train(tmp_path / "whole", recipe, **parts())
    with pytest.raises(Stopped):
        train(tmp_path / "stopped", recipe, **parts(), progress=StopAfter(stop_at, fail))
    torch.manual_seed(random.SystemRandom().randrange(2**31))  # another process has another random state
    fitted, *resumed = train(tmp_path / "stopped", recipe, **parts(), resume=True)
    assert fitted.epochs_run == 6
    assert same(tensors(*resumed), tensors(*whole))
    assert (tmp_path / "stopped" / "history.csv").read_bytes() == (tmp_path / "whole" / "history.csv").read_bytes()


@pytest.mark.parametrize(
    "recipe", [RECIPE, replace(RECIPE, epochs=40, lr=0.05, patience=2)], ids=["all epochs", "patience"]
)
def test_going_on_with_a_phase_that_has_ended_changes_nothing(tmp_path: Path, recipe: Recipe) -> None:
    """Killed after the last checkpoint and before anything noted that the phase was over."""
    data = {"examples": noise(), "val": clusters(32, seed=5)}
    first, *whole = train(tmp_path, recipe, **data)
    history = (tmp_path / "history.csv").read_bytes()
    again, *resumed = train(tmp_path, recipe, **data, resume=True)
    assert again == first
    assert same(tensors(*resumed), tensors(*whole))
    assert (tmp_path / "history.csv").read_bytes() == history


def test_a_run_that_was_moved_still_knows_its_best_epoch(tmp_path: Path) -> None:
    recipe, data = replace(RECIPE, epochs=12, lr=0.05), {"examples": noise(), "val": clusters(32, seed=5)}
    _, *whole = train(tmp_path / "whole", recipe, **data)
    with pytest.raises(Stopped):
        train(tmp_path / "here", recipe, **data, progress=StopAfter(11, fail))
    (tmp_path / "here").rename(tmp_path / "there")
    _, *moved = train(tmp_path / "there", recipe, **data, resume=True)
    assert same(tensors(*moved), tensors(*whole))


def interrupt() -> None:
    signal.raise_signal(signal.SIGINT)


def test_ctrl_c_keeps_the_best_epoch_so_far_and_the_phase_can_go_on(tmp_path: Path) -> None:
    _, *whole = train(tmp_path / "whole")
    before = signal.getsignal(signal.SIGINT)
    fitted, tail, head = train(tmp_path / "stopped", progress=StopAfter(3, interrupt))
    assert fitted.interrupted
    assert 2 <= fitted.epochs_run <= 3
    assert signal.getsignal(signal.SIGINT) is before  # a second Ctrl-C still works
    part = clusters(30, seed=5)
    assert (predict(tail, head, part).argmax(1) == part.labels).mean() > 0.5
    fitted, *resumed = train(tmp_path / "stopped", resume=True)
    assert not fitted.interrupted
    assert same(tensors(*resumed), tensors(*whole))


def test_ctrl_c_before_the_first_epoch_is_over_leaves_nothing_to_keep(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, progress=StopAfter(1, interrupt))


def test_a_run_stopped_before_its_first_epoch_is_over_says_how_it_goes_on(shapes: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt, match=r"Go on with: regraft train .*shapes --out .*run --resume"):
        train_run(shapes, out=tmp_path / "run", img_size=64, progress=StopAfter(1, interrupt))
    assert not train_run(shapes, out=tmp_path / "run", resume=True).interrupted


# ---- whole runs, killed for real ------------------------------------------------------------------------------------

SETTINGS: dict[str, Any] = {
    "backbone": "mobilenet_v2",
    "weights": "random",
    "method": "finetuned",
    "img_size": 64,
    "epochs": 4,
    "batch_size": 16,
    "patience": 100,
    "engine": "torch",
    "seed": 2,
    "device": "cpu",
}


def train_until(data: str, out: str, phase: str, epoch: int, name: str) -> None:
    """Train, and get a signal at the end of an epoch."""
    stop = functools.partial(os.kill, os.getpid(), signal.Signals[name])
    run = train_run(data, out=out, progress=StopAfter(epoch, stop, phase), **SETTINGS)
    assert run.interrupted


def train_on_a_full_disk(folder: str) -> None:
    """From the second epoch on no file may be larger than 20 kB."""
    resource = importlib.import_module("resource")  # not on Windows
    fill = functools.partial(resource.setrlimit, resource.RLIMIT_FSIZE, (20_000, 20_000))
    with pytest.raises((OSError, RuntimeError)):
        train(Path(folder), progress=StopAfter(2, fill), head=head_of(hidden=2000))


APART = """
import json, os, sys, traceback
from pathlib import Path
sys.path.insert(0, str(Path(sys.argv[1]).parent))
import test_loop
from regraft.training import checkpoints
checkpoints.EVERY_S = 0.0
for name, *arguments in json.loads(sys.argv[2]):
    if (child := os.fork()) == 0:
        try:
            getattr(test_loop, name)(*arguments)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@pytest.fixture(scope="module")
def apart(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, int]]:
    """Run what ends badly in processes of its own; returns each one's folder and exit status."""
    if not hasattr(os, "fork"):
        pytest.skip("this system cannot fork")
    root = tmp_path_factory.mktemp("apart")
    jobs: dict[str, list[Any]] = {
        "head": ["train_until", str(shapes), str(root / "head"), "head", 3, "SIGKILL"],
        "tail": ["train_until", str(shapes), str(root / "tail"), "tail", 3, "SIGKILL"],
        "ctrl-c": ["train_until", str(shapes), str(root / "ctrl-c"), "tail", 2, "SIGINT"],
        "full disk": ["train_on_a_full_disk", str(root / "full disk")],
    }
    command = [sys.executable, "-c", APART, __file__, json.dumps(list(jobs.values()))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert len(done.stdout.split()) == len(jobs), done.stderr
    print(done.stderr, file=sys.stderr)
    return {name: (root / name, int(status)) for name, status in zip(jobs, done.stdout.split(), strict=True)}


@pytest.fixture(scope="module")
def uninterrupted(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "whole"
    train_run(shapes, out=out, **SETTINGS)
    return out


def assert_ended_alike(found: Path, whole: Path) -> None:
    for name in ("history.csv", "predictions.csv", "split.csv", "model/model.safetensors", "model/bundle.json"):
        assert (found / name).read_bytes() == (whole / name).read_bytes(), name
    figures = [json.loads((folder / "metrics.json").read_text()) for folder in (found, whole)]
    assert figures[0]["test"] == figures[1]["test"]
    assert "interrupted" not in figures[0]
    assert not (found / "checkpoints").exists()


@pytest.mark.parametrize("phase", ["head", "tail"])
def test_a_run_killed_with_kill_9_and_resumed_ends_bit_for_bit_like_an_uninterrupted_one(
    shapes: Path, apart: dict[str, tuple[Path, int]], uninterrupted: Path, phase: str
) -> None:
    folder, status = apart[phase]
    assert status == -signal.SIGKILL
    epochs = [row["epoch"] for row in read_history(folder / "history.csv") if row["phase"] == phase]
    assert [epoch for epoch in epochs if epoch != "0"] == ["1", "2"]
    assert not (folder / "model").exists()
    train_run(shapes, out=folder, resume=True)  # its settings are known
    assert_ended_alike(folder, uninterrupted)
    with pytest.raises(RunError, match="finished"):
        train_run(shapes, out=folder, resume=True)


def test_ctrl_c_during_training_leaves_a_usable_model_and_resume_goes_on(
    shapes: Path, apart: dict[str, tuple[Path, int]], uninterrupted: Path
) -> None:
    folder, status = apart["ctrl-c"]
    assert status == 0
    assert json.loads((folder / "metrics.json").read_text())["interrupted"]
    model = bundle.load(folder)
    stop = json.loads((folder / "metrics.json").read_text())["unfinished"]
    assert (stop["phase"], stop["of"]) == ("tail", 4)
    assert model.about["unfinished"] == stop
    heard = Warned()
    open_model(folder, progress=heard)
    assert re.fullmatch(
        f"{re.escape(str(folder))} is the model of an unfinished run, {Stop(**stop)}"
        r"\. Finish it with: regraft train .*shapes --out .*ctrl-c --resume",
        *heard.said,
    )
    page = report(folder).read_text(encoding="utf-8")
    assert "<title>Unfinished: Report" in page
    assert f"the training was {Stop(**stop)}" in page
    (folder / "report.html").unlink()
    metrics = json.loads((folder / "metrics.json").read_text())
    (folder / "metrics.json").write_text(json.dumps({**metrics, "seconds": 1000.5}))
    with (folder / "predictions.csv").open(newline="") as file:
        said = {row["filename"]: row["label"] for row in csv.DictReader(file)}
    for name, answer in zip(said, model.predict([shapes / name for name in said]), strict=True):
        assert answer.probabilities is not None
        assert model.classes[int(answer.probabilities.argmax())] == said[name]
    ended = train_run(shapes, out=folder, resume=True)
    assert ended.seconds > 1000.5  # what was spent before is part of it
    assert_ended_alike(folder, uninterrupted)
    heard = Warned()
    open_model(folder, progress=heard)
    assert heard.said == []
    assert "Unfinished" not in (folder / "report.html").read_text(encoding="utf-8")
    assert "unfinished" not in json.loads((folder / "metrics.json").read_text())


def test_a_run_stopped_in_its_first_phase_does_not_look_finished(
    shapes: Path, tmp_path: Path, regraft: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real Ctrl-C, at the end of the third epoch of the head."""
    monkeypatch.setattr(commands, "_progress", lambda verbose: StopAfter(3, interrupt, "head"))
    options = [word for name, value in SETTINGS.items() for word in (f"--{name.replace('_', '-')}", value)]
    ended = regraft("train", shapes, "--out", tmp_path / "run", *options)
    assert ended.status == 130
    assert ended.out.startswith("UNFINISHED: stopped in the head phase after ")
    assert "\nUnfinished: stopped in the head phase after" in ended.out
    assert "Done in" not in ended.out
    assert "Try it" not in ended.out
    assert "Go on with: regraft train" in ended.err
    picture = next(shapes.rglob("*.png"))
    monkeypatch.undo()
    for command in (("predict",), ("explain", "--out", tmp_path / "heat")):
        assert "the model of an unfinished run, stopped in the head phase" in regraft(
            command[0], tmp_path / "run", picture, *command[1:]
        ).err.replace("\n", " ")
    assert "unfinished run" in regraft("eval", tmp_path / "run", shapes).err.replace("\n", " ")


class Warned(Progress):
    """Keeps what it is warned of."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def warn(self, text: str) -> None:
        self.said.append(text)


def test_a_disk_that_is_full_leaves_the_checkpoint_of_the_epoch_before(apart: dict[str, tuple[Path, int]]) -> None:
    """The second epoch's do not fit any more: the first one's are still whole, and nothing lies beside them."""
    folder, status = apart["full disk"]
    assert status == 0
    assert torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["epoch"] == 0
    assert sorted(path.name for path in (folder / "checkpoints").iterdir()) == ["best.ckpt", "last.ckpt"]


def test_another_setting_is_refused_when_a_run_goes_on(shapes: Path, tmp_path: Path) -> None:
    run = train_run(shapes, out=tmp_path / "run", **{**SETTINGS, "method": "features", "backbone": "squeezenet1_1"})
    metrics = json.loads((run.folder / "metrics.json").read_text())
    (run.folder / "metrics.json").write_text(json.dumps({**metrics, "interrupted": True}))
    with pytest.raises(RunError, match="seed=2, not 3"):
        train_run(shapes, out=run.folder, resume=True, seed=3)
