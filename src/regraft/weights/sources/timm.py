"""Take tensors that timm publishes: from the Hugging Face or torch cache, else from their servers."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.request import Request, urlopen

from regraft.weights import locations
from regraft.weights.sources import Network, Tensors

if TYPE_CHECKING:
    from regraft.backbones import Backbone

RANK = 4


def publishes(name: str, library: str) -> bool:
    """Whether it is a network of timm."""
    return library == "timm"


def file(network: Network) -> Path | None:
    """Return its place in the Hugging Face or torch cache."""
    return _place(network) if network["library"] == "timm" else None


def get(network: Network) -> str:
    """Return the command by which its weights come here."""
    return f"regraft weights pull {network['name']}"


def licence(network: Network) -> str:
    """As timm states it."""
    return str(network["licence"])


def _place(network: Network) -> Path | None:
    if network["hub"]:
        return locations.hub_file(network["hub"])
    return locations.torch_file(network["file"]) if network["file"] else None


def here(name: str) -> bool:
    """Whether a cache holds the default set of weights."""
    from regraft.backbones.families import find
    from regraft.backbones.libraries import published
    from regraft.weights import download

    _, family = find(name)
    if family.library != "timm":
        return False
    weights = published("timm", name)
    record = weights.record
    if not weights.tag:
        return False
    return (
        locations.hub_file(record.hf_hub_id) is not None if record.hf_hub_id else download.cached(record.url).is_file()
    )


def fetch(backbone: Backbone, tag: str) -> Tensors:
    """Read a set of weights, by default timm's best; ``tag`` is what timm writes after the dot, such as in1k.

    Raises:
        UnknownName: no such set, or the backbone is not timm's.
        WeightsMissing: not here and not to be had, or never published.
        ChecksumMismatch: the file was changed.
    """
    from regraft.backbones.libraries import published
    from regraft.weights import download
    from regraft.weights.reading import read

    weights = published("timm", backbone.name, tag.removeprefix(f"{backbone.name}."))
    if not weights.tag:
        raise download.unpublished(backbone.name, "timm")
    record = weights.record
    path = _from_hub(record.hf_hub_id, backbone.name) if record.hf_hub_id else download.fetch(record.url, backbone.name)
    return Tensors(read(path), f"timm:{backbone.name}.{weights.tag}", record.license, weights.preprocessing)


def _from_hub(repository: str, name: str) -> Path:
    from regraft.weights.reading import verify

    path = locations.hub_file(repository) or _download(repository, name)
    blob = path.resolve().name  # the cache calls a large file by its SHA-256; without symbolic links it cannot
    if re.fullmatch("[0-9a-f]{64}", blob):
        verify(path, blob)
    return path


def _download(repository: str, name: str) -> Path:
    from huggingface_hub import constants, hf_hub_download, hf_hub_url

    from regraft.weights import download

    url = hf_hub_url(repository, locations.HUB_FILE)
    try:
        if not constants.HF_HUB_OFFLINE:  # ask once: the hub's own client tries for half a minute before it gives up
            urlopen(Request(url, method="HEAD"), timeout=download.TIMEOUT_S).close()
        return Path(hf_hub_download(repository, locations.HUB_FILE, etag_timeout=download.TIMEOUT_S))
    except OSError as error:
        raise download.missing(name, url, f"into the Hugging Face cache {constants.HF_HUB_CACHE}", error) from error
