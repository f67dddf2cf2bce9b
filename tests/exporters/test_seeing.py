"""The square that lies in an exported file is the decoder's, level by level."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from regraft.data import Preprocessing, decode
from regraft.data.decode import INTERPOLATIONS
from regraft.exporters._seeing import Seeing
from regraft.utils import onnx_file

looks = st.builds(
    lambda size, more, fit, interpolation: Preprocessing(
        size=size, resize=size + more, fit=fit, interpolation=interpolation
    ),
    st.integers(8, 96),
    st.integers(0, 24),
    st.sampled_from(["crop", "stretch"]),
    st.sampled_from(sorted(INTERPOLATIONS)),
)


def noise(width: int, height: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", compress_level=0)
    return file.getvalue()


@settings(max_examples=150)
@given(looks, st.integers(1, 260), st.integers(1, 260), st.integers(0, 2**31))
def test_noise_of_any_size_becomes_the_same_square(look: Preprocessing, width: int, height: int, seed: int) -> None:
    pixels = noise(width, height, seed)
    made = Seeing(look)(torch.from_numpy(pixels)[None])[0].numpy()
    apart = np.abs(made.astype(int) - decode(png(pixels), look))
    assert apart.max() <= 1
    assert apart.mean() < 0.002


@pytest.mark.parametrize("fit", ["crop", "stretch"])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "lanczos"])
def test_so_it_does_in_onnx_where_levels_lie_halfway(interpolation: str, fit: str) -> None:
    """Sides of 7 to 8 make halves of many levels; with float32 alone a tenth of them is another one."""
    look = Preprocessing(size=56, resize=64, fit=fit, interpolation=interpolation)
    file = io.BytesIO()
    torch.onnx.export(
        Seeing(look),
        (torch.zeros(2, 50, 70, 3, dtype=torch.uint8),),
        file,
        dynamo=False,
        opset_version=18,
        input_names=["pixels"],
        dynamic_axes={"pixels": {0: "n", 1: "h", 2: "w"}},
    )
    session = onnx_file.session(file.getvalue(), 1)
    for width, height in ((64, 64), (64, 128), (20, 20), (400, 300), (33, 700), (1, 9)):
        pixels = noise(width, height)
        (made,) = session.run(None, {"pixels": np.stack([pixels, pixels[::-1, ::-1]])})
        np.testing.assert_array_equal(made[0], decode(png(pixels), look))
        np.testing.assert_array_equal(made[1], decode(png(pixels[::-1, ::-1]), look))
