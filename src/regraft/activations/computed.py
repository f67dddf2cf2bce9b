"""Keep what follows from kept rows and small pictures alone: a few arrays, under the name of all that they depend on.

A second run on the same pictures finds there what it would compute again, such as which of them are copies. It is one
file each, written whole; NumPy's format holds a checksum of every array, so what a failing disk has changed is noticed,
deleted and computed again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from regraft.activations.store import make_room, recipe_key
from regraft.errors import RegraftError
from regraft.utils import files
from regraft.utils.machine import cache_folder

Arrays = dict[str, NDArray[Any]]

MOST_BYTES = 10**9  # of all that is kept so: 5,000 pictures take 60 MB


def computed(by: Sequence[str], recipe: Mapping[str, Any], compute: Callable[[], Arrays]) -> Arrays:
    """Return what is kept of this recipe, or what `compute` gives, which is kept then.

    A cache that cannot be written to costs time and nothing else: whoever keeps rows there is told.

    Args:
        by: the files of the code that computes it, so that changed code never meets what earlier code gave.
        recipe: all else that it depends on, as JSON has it; of arrays their `fingerprint`.
        compute: gives arrays by name, none of them of objects.
    """
    code = [blake2b(Path(file).read_bytes(), digest_size=16).hexdigest() for file in by]
    path = cache_folder() / "computed" / f"{recipe_key({'code': code, **recipe})}.npz"
    found = _read(path)
    if found is None:
        found = compute()
        with contextlib.suppress(OSError, RegraftError):
            _write(path, found)
    return found


def fingerprint(*arrays: NDArray[Any]) -> str:
    """Return what tells arrays from others: a digest of their types, shapes and numbers."""
    digest = blake2b(digest_size=16)
    for array in arrays:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _read(path: Path) -> Arrays | None:
    try:
        with np.load(path, allow_pickle=False) as kept:
            found = {name: kept[name] for name in kept.files}
    except FileNotFoundError:
        return None
    except Exception:  # noqa: BLE001 - of a damaged file, readers of zip and of arrays raise what they like
        with contextlib.suppress(OSError):
            path.unlink()
        return None
    files.in_use(path)
    return found


def _write(path: Path, arrays: Arrays) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with files.whole(path, flushed=False) as temporary, temporary.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)
    make_room([path.parent], 0, MOST_BYTES, spare=[path])
