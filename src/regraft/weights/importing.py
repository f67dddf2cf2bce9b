"""Keep weights that a user got elsewhere, checked once, where every later run finds them by the network's name."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from safetensors.torch import save

from regraft.backbones import build
from regraft.errors import WeightsError
from regraft.utils import files
from regraft.weights import locations
from regraft.weights.sources import file
from regraft.weights.sources.imported import DIGEST, ORIGIN
from regraft.weights.state import WeightSet, digest_state, load_state


def import_file(path: Path | str, name: str, *, force: bool = False) -> tuple[Path, WeightSet]:
    """Check that a file of tensors fits a network and keep it as safetensors, whole or not at all.

    The tensors keep their number format. As with any file of the user, pictures are prepared as the network's published
    weights expect it.

    Args:
        path: A .safetensors, .pth or .pt file; a PyTorch file is read without running its pickled code.
        name: The network; an alias will do.
        force: Take the place of what was imported for the network before.

    Returns:
        The file that was written, and what is in it.

    Raises:
        UnknownName: no such network.
        WeightsMissing: no file there.
        WeightsMismatch: tensors are missing, left over or of another shape; the head for ImageNet may be absent.
        WeightsError: not a file of tensors, or the network has imported weights already.
    """
    backbone = build(name)
    if (earlier := locations.imported_file(backbone.name)) and not force:
        raise WeightsError(
            f"{backbone.name} has imported weights already, {earlier}. --force puts {path} in their place."
        )
    given = file.fetch(backbone, str(path))
    weights = load_state(backbone, given.state, origin=given.origin, preprocessing=given.preprocessing)
    # separate and contiguous, as safetensors wants them
    state = {key: tensor.detach().clone(memory_format=torch.contiguous_format) for key, tensor in given.state.items()}
    about = {ORIGIN: os.fsencode(Path(given.origin).name).decode(errors="replace"), DIGEST: digest_state(state)}
    target = locations.imports() / f"{backbone.name}.safetensors"
    target.parent.mkdir(parents=True, exist_ok=True)
    with files.whole(target) as temporary:
        temporary.write_bytes(save(state, metadata=about))  # save_file would make it readable by this user alone
    return target, weights
