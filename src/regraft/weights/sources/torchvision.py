"""Take tensors that torchvision publishes: from torch's cache, else from its server."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from regraft.weights import locations
from regraft.weights.sources import Network, Tensors

if TYPE_CHECKING:
    from regraft.backbones import Backbone

RANK = 3

LICENCE = "BSD-3-Clause (torchvision); trained on ImageNet"


def publishes(name: str, library: str) -> bool:
    """Whether it is a network of torchvision."""
    return library == "torchvision"


def file(network: Network) -> Path | None:
    """Return its place in torch's cache."""
    return locations.torch_file(network["file"]) if network["library"] == "torchvision" else None


def get(network: Network) -> str:
    """Return the command by which its weights come here."""
    return f"regraft weights pull {network['name']}"


def licence(network: Network) -> str:
    """As torchvision states it."""
    return str(network["licence"])


def here(name: str) -> bool:
    """Whether torch's cache holds the default set of weights."""
    from regraft.backbones.families import find
    from regraft.backbones.libraries import published
    from regraft.weights import download

    _, family = find(name)
    return family.library == "torchvision" and download.cached(published("torchvision", name).record.url).is_file()


def fetch(backbone: Backbone, tag: str) -> Tensors:
    """Read a set of weights, by default torchvision's best; ``tag`` is its name there, such as IMAGENET1K_V1.

    Raises:
        UnknownName: no such set, or the backbone is not torchvision's.
        WeightsMissing: not here and not to be had.
        ChecksumMismatch: the file was changed.
    """
    from regraft.backbones.libraries import published
    from regraft.weights import download
    from regraft.weights.reading import read

    weights = published("torchvision", backbone.name, tag)
    path = download.fetch(weights.record.url, backbone.name)
    return Tensors(read(path), f"torchvision:{weights.tag}", LICENCE, weights.preprocessing)
