"""Draw tensors as the library initialises them: for training from scratch."""

from __future__ import annotations

from regraft.backbones import Backbone, build
from regraft.errors import ConfigError
from regraft.weights.source import Tensors
from regraft.weights.state import auxiliary_state, classifier_names


def here(name: str) -> bool:
    """Never by itself: random weights are asked for by name."""
    return False


def fetch(backbone: Backbone, tag: str) -> Tensors:
    """Draw the body with the seed ``tag``; a random classifier would only look like one.

    Raises:
        ConfigError: the tag is no whole number.
    """
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
    head = classifier_names(fresh)
    body = {name: tensor for name, tensor in fresh.model.state_dict().items() if name not in head}
    return Tensors(body | auxiliary_state(fresh), f"random:{tag}", "none", fresh.preprocessing)
