"""Network -> the names under which its rows and its export are kept: whatever they depend on is part of them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from regraft.backbones import Backbone
from regraft.data import Preprocessing
from regraft.weights.state import digest_state

OF_THE_DECODER = ("size", "resize", "fit", "interpolation", "file_channels", "value_range")
"""What of a preprocessing decides the pixels; the rest is done inside the network."""

OF_THE_NETWORK = ("size", "mean", "std", "scale", "channels")
"""What of a preprocessing decides what a network makes of pixels."""


def stage_digests(backbone: Backbone, cut: int) -> list[str]:
    """Return what each stage below a cut is: its name and the digest of its weights."""
    return [f"{stage.name} {digest_state(stage.module.state_dict())}" for stage in backbone.stages[:cut]]


def weights_key(digests: Sequence[str]) -> str:
    """Return one name for the weights of several stages."""
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def of_decoder(look: Preprocessing) -> dict[str, Any]:
    """Return what the decoder makes of a file."""
    return _of(look, OF_THE_DECODER)


def export_recipe(backbone: Backbone, cuts: Sequence[int], digests: Sequence[str]) -> dict[str, Any]:
    """Return what the outputs of a network at some cuts (above 0) depend on, beside the pixels.

    `digests` are those of its stages, up to the deepest cut or further. Training and predicting share what they export.
    """
    return {
        "cuts": list(cuts),
        "backbone": backbone.name,
        "weights": weights_key(digests[: max(cuts)]),
        "pooled": ", ".join(backbone.pools) if max(cuts) == len(backbone.stages) else "",
        "pixels": _of(backbone.preprocessing, OF_THE_NETWORK),
    }


def _of(look: Preprocessing, names: Sequence[str]) -> dict[str, Any]:
    values = look.as_dict()
    return {name: values[name] for name in names if name in values}
