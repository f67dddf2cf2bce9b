"""Pictures -> thumbnails, read from their files once: a later run on the same pictures finds them kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from regraft.data import DECODER, Manifest, Preprocessing, Thumbnail, read_thumbnails, thumbnails
from regraft.utils.progress import Progress


def look_at(
    manifest: Manifest, digests: Sequence[str], preprocessing: Preprocessing, progress: Progress | None = None
) -> list[Thumbnail]:
    """Return the thumbnail of every picture, in order, on the scale and at the channels of `preprocessing`.

    Args:
        manifest: pictures that can be read.
        digests: of their content, [n]: what is read must have them, or it would be kept under another's name.
        preprocessing: how the network sees them.
        progress: says how far it is, where they are not kept.

    Raises:
        BadImage: a file that cannot be read any more, or has changed.
    """
    from regraft.activations.computed import computed  # it needs torch

    def read() -> dict[str, NDArray[Any]]:
        paths = [item.path for item in manifest.items]
        found = read_thumbnails(paths, preprocessing, digests=digests, progress=progress)
        return {name: np.array([getattr(one, name) for one in found]) for name in Thumbnail._fields}

    recipe = {"digests": list(digests), "preprocessing": preprocessing.small(1).as_dict(), "decoder": DECODER}
    kept = computed([__file__, thumbnails.__file__], recipe, read)
    return [_thumbnail(*row) for row in zip(*(kept[name] for name in Thumbnail._fields), strict=True)]


def _thumbnail(width: Any, height: Any, mode: Any, grey: Any, *rest: Any) -> Thumbnail:
    shape, middle, tint, spread = rest
    return Thumbnail(int(width), int(height), str(mode), grey, float(shape), middle, tuple(tint.tolist()), int(spread))
