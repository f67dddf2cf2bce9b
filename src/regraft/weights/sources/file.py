"""Take tensors from a file or folder of the user; without a path, from the folder that REGRAFT_WEIGHTS names."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from regraft.errors import WeightsMissing
from regraft.weights import locations
from regraft.weights.sources import Network, Tensors

if TYPE_CHECKING:
    from regraft.backbones import Backbone

# In the order in which they are asked: the user's own folder before any other, then what was imported for the network,
# then what is installed, before a download.
RANK = 0


def publishes(name: str, library: str) -> bool:
    """Nothing by itself."""
    return False


def file(network: Network) -> Path | None:
    """Return NAME.safetensors, NAME.pth or NAME.pt in the user's folder."""
    return locations.own_file(network["name"])


def get(network: Network) -> str:
    """Return the command by which its weights come here."""
    return f"regraft weights import FILE --as {network['name']}"


def licence(network: Network) -> str:
    """Nobody says it."""
    return "unknown"


def here(name: str) -> bool:
    """Whether the user's folder holds NAME.safetensors, NAME.pth or NAME.pt."""
    return locations.own_file(name) is not None


def fetch(backbone: Backbone, tag: str) -> Tensors:
    """Read a file, or the backbone's file in a folder.

    Raises:
        WeightsMissing: names the files that were looked for.
    """
    from regraft.weights.reading import read

    path = Path(tag or os.environ.get(locations.FOLDER, ".")).expanduser()
    looked_for = locations.candidates(path, backbone.name) if path.is_dir() else [path]
    found = next((candidate for candidate in looked_for if candidate.is_file()), None)
    if found is None:
        wanted = " or ".join(str(candidate) for candidate in looked_for)
        raise WeightsMissing(f"No weights of {backbone.name} there: looked for {wanted}.")
    return Tensors(read(found), f"file:{found.resolve()}", "unknown", backbone.preprocessing)
