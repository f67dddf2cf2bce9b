"""Keep weights that a user got elsewhere, checked once, where every later run finds them by the network's name."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save

from regraft.backbones import Backbone, build
from regraft.catalog import locations
from regraft.errors import ChecksumMismatch, UnknownName, WeightsError, WeightsMissing
from regraft.utils import files
from regraft.weights import file
from regraft.weights.reading import read
from regraft.weights.source import Tensors
from regraft.weights.state import WeightSet, digest_state, load_state

ORIGIN, DIGEST = "imported_from", "digest"  # what the kept file says of itself


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


def here(name: str) -> bool:
    """Whether weights were imported for the network."""
    return locations.imported_file(name) is not None


def fetch(backbone: Backbone, tag: str) -> Tensors:
    """Read what was imported; ``tag`` is what the imported file was called.

    Raises:
        WeightsMissing: nothing was imported for this network.
        UnknownName: another file was.
        ChecksumMismatch: the kept file was changed.
    """
    path = locations.imported_file(backbone.name)
    if path is None:
        raise WeightsMissing(
            f"No weights were imported for {backbone.name}: regraft weights import FILE --as {backbone.name}"
        )
    state = read(path)
    with safe_open(path, "pt") as content:
        about = content.metadata() or {}
    if digest_state(state) != about.get(DIGEST):
        raise ChecksumMismatch(
            f"{path} is not as it was imported. Import it anew: "
            f"regraft weights import FILE --as {backbone.name} --force"
        )
    origin = about.get(ORIGIN, "")
    if tag not in ("", origin):
        raise UnknownName(f"imported weights of {backbone.name}", tag, [origin])
    return Tensors(state, f"imported:{origin}", "unknown", backbone.preprocessing)
