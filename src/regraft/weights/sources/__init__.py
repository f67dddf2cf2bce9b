"""Where tensors come from: one file a source, found by its name; importing one loads no torch, so that asking is quick.

A source's file has ``RANK`` (the lowest that has a network's weights here is asked), ``publishes(name, library)``;
``file``, ``get`` and ``licence`` of a row of the catalog; ``here(name)`` and ``fetch(backbone, tag) -> Tensors``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from regraft.utils import plugins

if TYPE_CHECKING:
    from torch import Tensor

    from regraft.backbones import Backbone
    from regraft.data.decode import Preprocessing

Network = Mapping[str, Any]
"""A row of the catalog."""


@dataclass(frozen=True)
class Tensors:
    """What a source hands over, unchecked."""

    state: Mapping[str, Tensor]
    origin: str
    licence: str
    preprocessing: Preprocessing


class Source(Protocol):
    """A module with these names."""

    RANK: int

    def publishes(self, name: str, library: str) -> bool:
        """Whether it has weights of a network of that library, here or elsewhere."""

    def file(self, network: Network) -> Path | None:
        """Where the network's weights lie, or would, on this machine; asked without the libraries that publish."""

    def get(self, network: Network) -> str | None:
        """The command by which the network's weights come to this machine; None: none does."""

    def licence(self, network: Network) -> str:
        """Of the weights that it has."""

    def here(self, name: str) -> bool:
        """Whether the tensors of any network are on this machine now, asked without a connection."""

    def fetch(self, backbone: Backbone, tag: str) -> Tensors:
        """The tensors, from this machine or elsewhere; ``tag`` is what follows the source's name and a colon."""


def names() -> list[str]:
    """Return the names of all sources, in the order in which they are asked."""
    return sorted(plugins.names(__name__), key=lambda name: (source(name).RANK, name))


def source(name: str) -> Source:
    """Return a source's module."""
    return cast("Source", plugins.load(__name__, name))
