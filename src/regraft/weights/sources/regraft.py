"""Say which file fills a network of our own: nothing is downloaded for those that no library has."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from regraft.errors import UnknownName, WeightsMissing
from regraft.weights.sources import Network, Tensors

if TYPE_CHECKING:
    from regraft.backbones import Backbone

RANK = 5

# The published file of each, and where it comes from.
FILES = {"inception_v2": ("bn_inception-52deb4733.pth", "the model bninception of the package pretrainedmodels")}


def publishes(name: str, library: str) -> bool:
    """Nothing: a file that the user has is of the source ``file``."""
    return False


def file(network: Network) -> Path | None:
    """There is none."""
    return None


def get(network: Network) -> None:
    """No command brings any."""


def licence(network: Network) -> str:
    """As it was published."""
    return str(network["licence"])


def here(name: str) -> bool:
    """Never by itself: a file that the user has is found by the source ``file``."""
    return False


def fetch(backbone: Backbone, tag: str) -> Tensors:
    """Name the file that is wanted and where to put it.

    Raises:
        UnknownName: a library has this network.
        WeightsMissing: always, where it is one of our own.
    """
    if backbone.name not in FILES:
        raise UnknownName("network of Regraft's own", backbone.name, FILES)
    file, origin = FILES[backbone.name]
    raise WeightsMissing(
        f"The weights of {backbone.name} are not on this machine, and nothing is downloaded for it. Expected {file}, "
        f"{origin}: give it with --weights FILE, or put it as {backbone.name}.pth in a folder that the environment "
        "variable REGRAFT_WEIGHTS names."
    )
