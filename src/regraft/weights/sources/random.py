"""Draw tensors as the library initialises them: for training from scratch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from regraft.errors import ConfigError
from regraft.weights.sources import Network, Tensors
from regraft.weights.sources._no_place import file, get, here, publishes

if TYPE_CHECKING:
    from regraft.backbones import Backbone

__all__ = ["RANK", "fetch", "file", "get", "here", "licence", "publishes"]

RANK = 6


def licence(network: Network) -> str:
    """There is none."""
    return "none"


def fetch(backbone: Backbone, tag: str) -> Tensors:
    """Draw the body with the seed ``tag``; a random classifier would only look like one.

    Raises:
        ConfigError: the tag is no whole number.
    """
    from regraft.backbones import build

    return as_built(build(backbone.name, seed=seed_of(tag)), tag)


def seed_of(tag: str) -> int:
    """Return the seed that a tag stands for.

    Raises:
        ConfigError: the tag is no whole number.
    """
    if not tag.isdecimal():
        raise ConfigError(f"A seed is a whole number, as in random:0; found random:{tag}.")
    return int(tag)


def as_built(fresh: Backbone, tag: str) -> Tensors:
    """Return the numbers that `build` has drawn with the seed ``tag``, without the classifier's."""
    from regraft.weights.state import auxiliary_state, classifier_names

    head = classifier_names(fresh)
    body = {name: tensor for name, tensor in fresh.model.state_dict().items() if name not in head}
    return Tensors(body | auxiliary_state(fresh), f"random:{tag}", "none", fresh.preprocessing)
