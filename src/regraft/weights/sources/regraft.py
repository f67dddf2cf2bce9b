"""Say which file fills a network of our own: nothing is downloaded for those that no library has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from regraft.errors import UnknownName, WeightsMissing
from regraft.weights.sources import Network, Tensors
from regraft.weights.sources._no_place import file, get, here, publishes

if TYPE_CHECKING:
    from regraft.backbones import Backbone

__all__ = ["FILES", "RANK", "fetch", "file", "get", "here", "licence", "publishes"]

RANK = 5

# The published file of each, and where it comes from.
FILES = {"inception_v2": ("bn_inception-52deb4733.pth", "the model bninception of the package pretrainedmodels")}


def licence(network: Network) -> str:
    """As it was published."""
    return str(network["licence"])


def fetch(backbone: Backbone, tag: str) -> Tensors:
    """Name the file that is wanted and where to put it.

    Raises:
        UnknownName: a library has this network.
        WeightsMissing: always, where it is one of our own.
    """
    if backbone.name not in FILES:
        raise UnknownName("network of Regraft's own", backbone.name, FILES)
    published, origin = FILES[backbone.name]
    raise WeightsMissing(
        f"The weights of {backbone.name} are not on this machine, and nothing is downloaded for it. Expected "
        f"{published}, {origin}: give it with --weights FILE, or put it as {backbone.name}.pth in a folder that "
        "the environment variable REGRAFT_WEIGHTS names."
    )
