"""Take tensors from a file or folder of the user; without a path, from the folder that REGRAFT_WEIGHTS names."""

from __future__ import annotations

import os
from pathlib import Path

from regraft.backbones import Backbone
from regraft.catalog import locations
from regraft.errors import WeightsMissing
from regraft.weights.reading import read
from regraft.weights.source import Tensors


def here(name: str) -> bool:
    """Whether the user's folder holds NAME.safetensors, NAME.pth or NAME.pt."""
    return locations.own_file(name) is not None


def fetch(backbone: Backbone, tag: str) -> Tensors:
    """Read a file, or the backbone's file in a folder.

    Raises:
        WeightsMissing: names the files that were looked for.
    """
    path = Path(tag or os.environ.get(locations.FOLDER, ".")).expanduser()
    looked_for = locations.candidates(path, backbone.name) if path.is_dir() else [path]
    found = next((candidate for candidate in looked_for if candidate.is_file()), None)
    if found is None:
        wanted = " or ".join(str(candidate) for candidate in looked_for)
        raise WeightsMissing(f"No weights of {backbone.name} there: looked for {wanted}.")
    return Tensors(read(found), f"file:{found.resolve()}", "unknown", backbone.preprocessing)
