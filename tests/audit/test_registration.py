"""A picture that is turned, moved and scaled is laid back over itself; others are alike by chance alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from regraft.audit.registration import COARSE, FINE, Rings, fit_whitening, register

SIDE = 64


def textures(count: int, side: int = SIDE, grain: float = 2.0, seed: int = 0) -> np.ndarray:
    drawn = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(count, side, side)), (0, grain, grain))
    return (128 + 40 * drawn / drawn.std()).clip(0, 255)


def turned(picture: np.ndarray, degrees: float, scale: float = 1.0, mirrored: bool = False) -> np.ndarray:
    """Return the middle of a larger picture, resampled about its centre by a matrix: no code of ours."""
    angle = np.deg2rad(degrees)
    matrix = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = matrix @ np.diag([1.0, -1.0 if mirrored else 1.0])
    centre = (np.array(picture.shape) - 1) / 2
    laid = ndimage.affine_transform(picture, matrix, centre - matrix @ centre, mode="reflect")
    cut = (len(picture) - SIDE) // 2
    return laid[cut : cut + SIDE, cut : cut + SIDE].clip(0, 255)


def registered(pictures: list[np.ndarray]) -> dict[tuple[int, int], float]:
    greys = np.stack(pictures).astype(np.uint8)
    found = register(greys, np.ones((len(greys), 2), np.float32), np.zeros((0, 2), np.int64))
    return dict(zip(map(tuple, found.pairs.tolist()), found.alike.tolist(), strict=True))


@pytest.fixture(scope="module")
def large() -> np.ndarray:
    return textures(60, 112)


@settings(max_examples=20)
@given(st.floats(0, 360), st.floats(0.88, 1), st.booleans(), st.floats(0.8, 1.2))
def test_any_turn_mirror_scale_and_light_is_undone(degrees: float, scale: float, mirrored: bool, light: float) -> None:
    large = textures(12, 112)
    middle = [turned(picture, 0) for picture in large]
    copy = turned(large[5], degrees, scale, mirrored)
    found = registered([*middle, (128 + light * (copy - 128)).clip(0, 255)])
    assert max(found, key=found.__getitem__) == (5, len(large))
    assert found[5, len(large)] > 0.9


def test_unrelated_textures_are_not_even_worth_refining(large: np.ndarray) -> None:
    assert all(alike < 0.75 for alike in registered([turned(picture, 0) for picture in large]).values())


def test_what_all_pictures_share_makes_no_two_of_them_alike() -> None:
    """A bright disc on black, a hundred times stronger than the texture within."""
    y, x = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    disc = np.hypot(x, y) < 26
    cells = [np.where(disc, 150 + 12 * one / one.std(), 0) for one in textures(80) - 128]
    copy = turned(np.pad(cells[3], 24), 77)
    found = registered([*cells, copy])
    assert found.pop((3, 80)) > 0.9
    assert max(found.values(), default=0) < 0.8


def test_a_whitened_turn_is_a_turn_of_what_was_whitened() -> None:
    rings = Rings(6, 32, 0.0)
    samples = torch.from_numpy(np.random.default_rng(1).normal(128, 40, (200, 6 * 32)).astype(np.float32))
    white = fit_whitening(rings, samples)

    def waves(rows: torch.Tensor) -> torch.Tensor:
        return torch.view_as_complex(white(rows)[0].unflatten(-1, (rings.frequencies, rings.count, 2)))

    shifted = samples.unflatten(1, (6, 32)).roll(5, 2).flatten(1)
    phase = torch.exp(-2j * torch.pi * 5 / 32 * torch.arange(rings.frequencies))[:, None]
    assert torch.allclose(waves(shifted), waves(samples) * phase, atol=1e-4)


def test_whitening_levels_what_varies_and_keeps_noise_small() -> None:
    rings = Rings(4, 16, 0.0)
    pattern = torch.from_numpy(np.random.default_rng(2).normal(0, 1, (1, 64)).astype(np.float32))
    strong = 1000 * torch.from_numpy(np.random.default_rng(3).normal(0, 1, (400, 1)).astype(np.float32)) * pattern
    weak = torch.from_numpy(np.random.default_rng(4).normal(0, 30, (400, 64)).astype(np.float32))
    white = fit_whitening(rings, strong + weak)
    spread = (torch.cat([strong + weak]) @ white.matrix).std(0)
    assert spread.max() < 1.5


@pytest.mark.parametrize("rings", [COARSE, FINE])
def test_the_waves_of_a_ring_hold_all_of_it(rings: Rings) -> None:
    samples = torch.randn(3, rings.count * rings.angles, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(rings.spectra(samples).abs().square().sum((1, 2)), samples.square().sum(1), rtol=1e-4)


@pytest.mark.parametrize("pictures", [np.zeros((24, SIDE, SIDE)), np.full((2, SIDE, SIDE), 255), textures(2)])
def test_pictures_that_are_all_the_same_or_very_few_are_no_error(pictures: np.ndarray) -> None:
    assert all(np.isfinite(alike) for alike in registered(list(pictures)).values())
