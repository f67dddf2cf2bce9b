"""Take tensors that `importing` has kept for a network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from regraft.errors import ChecksumMismatch, UnknownName, WeightsMissing
from regraft.weights import locations
from regraft.weights.sources import Network, Tensors

if TYPE_CHECKING:
    from regraft.backbones import Backbone

RANK = 1

ORIGIN, DIGEST = "imported_from", "digest"  # what the kept file says of itself


def publishes(name: str, library: str) -> bool:
    """Nothing by itself."""
    return False


def file(network: Network) -> Path | None:
    """Return what was imported for the network."""
    return locations.imported_file(network["name"])


def get(network: Network) -> None:
    """No command brings any."""


def licence(network: Network) -> str:
    """Nobody says it."""
    return "unknown"


def here(name: str) -> bool:
    """Whether weights were imported for the network."""
    return locations.imported_file(name) is not None


def fetch(backbone: Backbone, tag: str) -> Tensors:
    """Read what was imported; ``tag`` is what the imported file was called.

    Raises:
        WeightsMissing: nothing was imported for this network.
        UnknownName: another file was.
        ChecksumMismatch: the kept file was changed.
    """
    from safetensors import safe_open

    from regraft.weights.reading import read
    from regraft.weights.state import digest_state

    path = locations.imported_file(backbone.name)
    if path is None:
        raise WeightsMissing(
            f"No weights were imported for {backbone.name}: regraft weights import FILE --as {backbone.name}"
        )
    state = read(path)
    with safe_open(path, "pt") as content:
        about = content.metadata() or {}
    if digest_state(state) != about.get(DIGEST):
        raise ChecksumMismatch(
            f"{path} is not as it was imported. Import it anew: "
            f"regraft weights import FILE --as {backbone.name} --force"
        )
    origin = about.get(ORIGIN, "")
    if tag not in ("", origin):
        raise UnknownName(f"imported weights of {backbone.name}", tag, [origin])
    return Tensors(state, f"imported:{origin}", "unknown", backbone.preprocessing)
