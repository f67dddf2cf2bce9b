"""What a source of tensors has to answer. One source is one file of this package and one row of ``SOURCES``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from regraft.backbones import Backbone
from regraft.data.decode import Preprocessing


@dataclass(frozen=True)
class Tensors:
    """What a source hands over, unchecked."""

    state: Mapping[str, Tensor]
    origin: str
    licence: str
    preprocessing: Preprocessing


class Source(Protocol):
    """A module with these two functions."""

    def here(self, name: str) -> bool:
        """Whether the backbone's tensors are on this machine now, asked without a network."""

    def fetch(self, backbone: Backbone, tag: str) -> Tensors:
        """The tensors, from this machine or the network; ``tag`` is what follows the source's name and a colon."""
