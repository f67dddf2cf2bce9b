"""Take tensors that torchvision publishes: from torch's cache, else from its server."""

from __future__ import annotations

from regraft.backbones import Backbone
from regraft.backbones.families import find
from regraft.backbones.libraries import published
from regraft.weights.download import cached
from regraft.weights.download import fetch as fetch_url
from regraft.weights.reading import read
from regraft.weights.source import Tensors

LICENCE = "BSD-3-Clause (torchvision); trained on ImageNet"


def here(name: str) -> bool:
    """Whether torch's cache holds the default set of weights."""
    _, family = find(name)
    return family.library == "torchvision" and cached(published("torchvision", name).record.url).is_file()


def fetch(backbone: Backbone, tag: str) -> Tensors:
    """Read a set of weights, by default torchvision's best; ``tag`` is its name there, such as IMAGENET1K_V1.

    Raises:
        UnknownName: no such set, or the backbone is not torchvision's.
        WeightsMissing: not here and not to be had.
        ChecksumMismatch: the file was changed.
    """
    weights = published("torchvision", backbone.name, tag)
    path = fetch_url(weights.record.url, backbone.name)
    return Tensors(read(path), f"torchvision:{weights.tag}", LICENCE, weights.preprocessing)
