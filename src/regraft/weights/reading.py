"""File -> state dict: safetensors, or a PyTorch file read without running its pickled code."""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from regraft import files
from regraft.errors import ChecksumMismatch, WeightsError

WRAPPERS = ("state_dict", "model")  # what training scripts put around the tensors
PARALLEL = "module."  # what DataParallel puts before every name

_NAMED_DIGEST = re.compile(r"-([0-9a-f]{8,})\.")


def _read_torch(path: Path) -> Any:
    return torch.load(path, map_location="cpu", weights_only=True)


READERS: dict[str, Callable[[Path], Any]] = {".safetensors": load_file, ".pth": _read_torch, ".pt": _read_torch}

# What the two readers raise for a file that is cut off, damaged, of another kind, or holds more than tensors.
_UNREADABLE = (
    SafetensorError,
    pickle.UnpicklingError,
    EOFError,
    RuntimeError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    OSError,
)


def read(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a file, without the wrappers that training scripts add.

    Raises:
        WeightsError: the file is cut off, of another kind, or holds something else than tensors.
    """
    if path.suffix not in READERS:
        raise WeightsError(f"{path} is no file of tensors that can be read: expected {', '.join(READERS)}.")
    try:
        content = READERS[path.suffix](path)
    except _UNREADABLE as error:
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
    names = [str(name) for name in content]
    parallel = PARALLEL if all(name.startswith(PARALLEL) for name in names) else ""
    return {name.removeprefix(parallel): tensor for name, tensor in zip(names, content.values(), strict=True)}
