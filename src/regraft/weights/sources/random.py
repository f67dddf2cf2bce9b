"""Draw tensors as the library initialises them: for training from scratch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from regraft.errors import ConfigError
from regraft.weights.sources import Network, Tensors

if TYPE_CHECKING:
    from regraft.backbones import Backbone

RANK = 6


def publishes(name: str, library: str) -> bool:
    """Nothing."""
    return False


def file(network: Network) -> Path | None:
    """There is none."""
    return None


def get(network: Network) -> None:
    """No command brings any."""


def licence(network: Network) -> str:
    """There is none."""
    return "none"


def here(name: str) -> bool:
    """Never by itself: random weights are asked for by name."""
    return False


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
