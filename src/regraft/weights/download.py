"""URL -> file in torch's own cache, checked and only then given its name."""

from __future__ import annotations

import shutil
from pathlib import Path
from urllib.request import urlopen

import torch
from rich.console import Console
from rich.progress import wrap_file

from regraft.errors import WeightsMissing, reason_of
from regraft.utils import files
from regraft.weights.reading import verify_named

TIMEOUT_S = 5  # to connect and between two packets: offline is an answer, not a wait


def cached(url: str) -> Path:
    """Where torch.hub, and so torchvision and timm, keep this file (TORCH_HOME moves it)."""
    return Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]


def fetch(url: str, name: str) -> Path:
    """The file, downloaded once where it is missing.

    Raises:
        WeightsMissing: it is not here and cannot be had; says which file belongs where.
        ChecksumMismatch: it is not the published one.
    """
    path = cached(url)
    if not path.is_file():
        try:
            _download(url, path)
        except OSError as error:
            raise missing(name, url, f"as {path}", error) from error
    verify_named(path)
    return path


def missing(name: str, url: str, place: str, error: OSError) -> WeightsMissing:
    """The one line that an offline user needs: what, where from, where to."""
    suffix = Path(url).suffix
    reason = reason_of(getattr(error, "reason", error)).splitlines()[0]  # urllib wraps the system's error, or a text
    return WeightsMissing(
        f"The weights of {name} are not on this machine and cannot be fetched ({reason}). Put {url} {place}, "
        f"or as {name}{suffix} in a folder that the environment variable REGRAFT_WEIGHTS names."
    )


def unpublished(name: str, library: str) -> WeightsMissing:
    """The one line where there is nothing to download."""
    return WeightsMissing(
        f"No weights of {name} are published by {library}. Train it from random weights (--method scratch), or give a "
        f"file: --weights FILE, or {name}.safetensors in a folder that the environment variable REGRAFT_WEIGHTS names."
    )


def _download(url: str, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with files.whole(path) as temporary:
        with urlopen(url, timeout=TIMEOUT_S) as response, temporary.open("wb") as file:
            total = int(response.headers.get("Content-Length", 0))
            console = Console(stderr=True)
            with wrap_file(
                response, total, description=path.name, console=console, disable=not console.is_terminal
            ) as source:
                shutil.copyfileobj(source, file)
        verify_named(temporary, called=path)
