"""File -> state dict: safetensors, or a PyTorch file read without running its pickled code."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from regraft.errors import ChecksumMismatch, WeightsError
from regraft.utils import files

WRAPPERS = ("state_dict", "model")  # what training scripts put around the tensors
PARALLEL = "module."  # what DataParallel puts before every name

_NAMED_DIGEST = re.compile(r"-([0-9a-f]{8,})\.")


def read_torch(path: Path) -> Any:
    """Read what torch.save has written, tensors and plain values, without running its pickled code.

    Raises:
        Exception: of any kind; torch has none of its own for a file that is damaged, or was made to do harm.
    """
    with path.open("rb") as file:
        packed = file.read(4) == b"PK\x03\x04"  # since torch 1.6
    if packed:
        _check_archive(path)
    return torch.load(path, map_location="cpu", weights_only=True)


def _check_archive(path: Path) -> None:
    """Raise ValueError where a changed byte, or an entry that unpacks to more than the file, would go unnoticed.

    torch writes checksums and does not look at them; it does not pack, but unpacks.
    """
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
            raise ValueError("packed")
        if sum(entry.file_size for entry in entries) > path.stat().st_size:
            raise ValueError("entries that overlap")
        if archive.testzip() is not None:
            raise ValueError("a byte was changed")


READERS: dict[str, Callable[[Path], Any]] = {".safetensors": load_file, ".pth": read_torch, ".pt": read_torch}


def read(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a file, without the wrappers that training scripts add.

    Raises:
        WeightsError: the file is cut off, of another kind, or holds something else than tensors.
    """
    if path.suffix not in READERS:
        raise WeightsError(f"{path} is no file of tensors that can be read: expected {', '.join(READERS)}.")
    try:
        content = READERS[path.suffix](path)
    except Exception as error:
        raise WeightsError(f"{path} cannot be read, is it whole? It is cut off or holds more than tensors.") from error
    state = _unwrapped(content)
    if not state or not all(isinstance(tensor, Tensor) for tensor in state.values()):
        raise WeightsError(f"{path} holds no state dict: expected names and tensors, model.state_dict().")
    return state


def verify(path: Path, digest: str, *, called: Path | None = None) -> None:
    """Compare a file, `called` otherwise once it is whole, with the first digits of its SHA-256.

    Raises:
        ChecksumMismatch: with both values and what to do.
    """
    found = files.sha256(path).hex()[: len(digest)]
    if found != digest:
        raise ChecksumMismatch(
            f"{called or path} was changed or cut off: its SHA-256 begins {found}, not {digest}. Delete it."
        )


def verify_named(path: Path, *, called: Path | None = None) -> None:
    """Compare a published file with the SHA-256 digits in its name, such as ``resnet18-f37072fd.pth``."""
    if match := _NAMED_DIGEST.search((called or path).name):
        verify(path, match[1], called=called)


def _unwrapped(content: Any) -> dict[str, Any]:
    for wrapper in WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    if not isinstance(content, Mapping):
        return {}
    if not all(isinstance(name, str) for name in content):
        return {}
    names = list(content)
    parallel = PARALLEL if all(name.startswith(PARALLEL) for name in names) else ""
    return {name.removeprefix(parallel): tensor for name, tensor in zip(names, content.values(), strict=True)}
