"""Path of a model -> the model, opened once for many calls."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, overload

from regraft.inference import hub
from regraft.inference.exported import SUFFIX, Exported, open_file
from regraft.utils.calls import Checks, checked
from regraft.utils.files import named_path

if TYPE_CHECKING:
    from regraft.inference.classifier import Classifier


class _OfRun(Protocol):
    """A `Run`."""

    @property
    def folder(self) -> Path: ...

    def __fspath__(self) -> str: ...


@overload
def load(path: _OfRun) -> Classifier: ...
@overload
def load(path: str | os.PathLike[str]) -> Classifier | Exported: ...
@checked(Checks())
def load(path: str | os.PathLike[str]) -> Classifier | Exported:
    """Read the bundle that `path` is or, being a run, holds; or open an exported ``.onnx`` file, which needs no torch.

    ``hf://user/name`` is a model that `regraft.push` has written on the Hugging Face hub.

    Raises:
        BundleError: no bundle there, a part is missing or unreadable, or it is of a newer format.
        ChecksumMismatch: the tensors are not those that were written.
    """
    found = named_path(hub.local(path))
    if found.suffix.lower() == SUFFIX:
        return open_file(found)
    from regraft.inference import bundle

    return bundle.load(found)
