"""The new end of the network: its shape, its scale, and what it takes over from an earlier one."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from regraft.training.head import Dropout, Head, HeadSpec, Standardize, build_head, inherit

SPEC = HeadSpec(width=6, classes=3, hidden=5, dropout=0.5)


def embeddings(count: int = 200, width: int = 6) -> torch.Tensor:
    """Channels whose deviations differ up to threefold, around means that are a hundred times larger."""
    x = torch.randn(count, width, generator=torch.Generator().manual_seed(0))
    return 5 * x * torch.linspace(1, 3, width) + torch.arange(width) * 100


@pytest.mark.parametrize("hidden", [0, 5])
def test_maps_and_pooled_embeddings_give_the_same_scores(hidden: int) -> None:
    head = build_head(HeadSpec(6, 3, hidden=hidden)).eval()
    maps = torch.randn(4, 3, 7, 7, generator=torch.Generator().manual_seed(0))
    assert head(maps).shape == (4, 3)
    torch.testing.assert_close(head(maps), head(torch.cat([maps.mean((2, 3)), maps.flatten(2).max(2).values], 1)))
    assert len([layer for layer in head.modules() if isinstance(layer, nn.Linear)]) == (2 if hidden else 1)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_standardized_embeddings_have_zero_mean_and_unit_deviation(scale: float) -> None:
    """Whatever the network's scale, and also where the mean is a hundred times the deviation."""
    layer, x = Standardize(6), embeddings() * scale
    layer.set(x.split(30))
    z = layer(x).double()
    torch.testing.assert_close(z.mean(0), torch.zeros(6).double(), atol=1e-4, rtol=0)
    torch.testing.assert_close(z.std(0, correction=0), torch.ones(6).double(), atol=1e-4, rtol=0)


@pytest.mark.parametrize("size", [1, 7, 199, 200])
def test_the_scale_does_not_depend_on_how_the_embeddings_are_cut_into_chunks(size: int) -> None:
    layer, x = Standardize(6), embeddings()
    for _ in range(2):  # set anew, it forgets what it was
        layer.set(x.split(size))
    std, mean = torch.std_mean(x.double(), 0, correction=0)
    torch.testing.assert_close(layer.mean, mean.float(), rtol=1e-7, atol=0)
    torch.testing.assert_close(layer.std, std.float(), rtol=1e-6, atol=0)


def test_a_channel_that_hardly_moves_in_training_does_not_drown_the_others_on_a_new_picture() -> None:
    layer, x = Standardize(6), embeddings()
    x[:, 0] = 100 + 1e-5 * x[:, 0]
    layer.set(x.split(30))
    new = x.mean(0, keepdim=True) + 5.0  # as much as the other channels move
    assert layer(new)[0, 0] < 3 * layer(new)[0, 1:].max()


def test_embeddings_that_do_not_move_at_all_become_zeros() -> None:
    layer = Standardize(2)
    layer.set([torch.full((5, 2), 3.0)])
    assert layer(torch.full((1, 2), 3.0)).tolist() == [[0.0, 0.0]]


def test_the_scale_is_kept_with_the_model_and_not_trained() -> None:
    head = build_head(SPEC)
    assert {"standardize.mean", "standardize.std"} <= head.state_dict().keys()
    assert not [name for name, _ in head.named_parameters() if name.startswith("standardize")]


def test_dropout_acts_in_training_only() -> None:
    head, x = build_head(SPEC), torch.ones(1, 6)
    assert not torch.equal(head(x), head(x))
    assert torch.equal(head.eval()(x), head(x))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("share", [0.0, 0.2, 0.5])
def test_dropout_drops_its_share_and_keeps_the_mean(share: float, dtype: torch.dtype) -> None:
    ones = torch.ones(400, 400, dtype=dtype)
    dropped = Dropout(share)(ones)
    assert dropped.dtype == dtype
    kept = dropped[dropped != 0].float()
    assert kept.numel() / ones.numel() == pytest.approx(1 - share, abs=0.01)
    torch.testing.assert_close(kept, torch.full_like(kept, 1 / (1 - share)), rtol=0.01, atol=0)


def test_the_same_seed_builds_the_same_head_and_leaves_torch_s_own_state() -> None:
    before = torch.get_rng_state()
    first, second, other = (build_head(SPEC, seed=seed).out.weight for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


# ---- from an earlier head -------------------------------------------------------------------------------------------

OLD = ("bus", "car", "truck")
NEW = ("bicycle", "truck", "bus", "van")


def pair(hidden: int = 5) -> tuple[Head, Head]:
    old, new = build_head(HeadSpec(6, 3, hidden), seed=1), build_head(HeadSpec(6, 4, hidden), seed=2)
    old.standardize.set([embeddings()])
    return old.eval(), new.eval()


@pytest.mark.parametrize("hidden", [0, 5])
def test_shared_classes_keep_their_scores_and_new_ones_start_afresh(hidden: int) -> None:
    old, new = pair(hidden)
    fresh = new.out.weight.detach().clone()
    assert inherit(new, NEW, old, OLD)
    x = embeddings(20)
    for name in ("bus", "truck"):
        torch.testing.assert_close(new(x)[:, NEW.index(name)], old(x)[:, OLD.index(name)])
    assert torch.equal(new.out.weight[0], fresh[0])
    assert torch.equal(new.out.weight[3], fresh[3])


def test_nothing_is_taken_over_where_no_class_is_shared_or_the_shape_differs() -> None:
    old, new = pair()
    before = {name: tensor.clone() for name, tensor in new.state_dict().items()}
    assert not inherit(new, ("a", "b", "c", "d"), old, OLD)
    assert not inherit(new, NEW, pair(hidden=7)[0], OLD)
    assert not inherit(new, NEW, pair(hidden=0)[0], OLD)
    assert all(torch.equal(tensor, before[name]) for name, tensor in new.state_dict().items())


def test_the_earlier_head_is_not_changed() -> None:
    old, new = pair()
    before = {name: tensor.clone() for name, tensor in old.state_dict().items()}
    inherit(new, NEW, old, OLD)
    nn.init.zeros_(new.out.weight)
    assert all(torch.equal(tensor, before[name]) for name, tensor in old.state_dict().items())
