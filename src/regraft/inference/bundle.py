"""Classifier <-> bundle: a folder with ``model.safetensors`` and ``bundle.json``, no code.

``bundle.json`` names the format, the network, the classes, the preprocessing and where the weights came from, and holds
the SHA-256 of the tensors: a changed byte is noticed before a doctor sees a wrong answer.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypeVar

import safetensors
import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save_file as save_tensors
from torch import Tensor

from regraft.backbones import Backbone, build
from regraft.backbones.families import names
from regraft.data import Preprocessing, Tta
from regraft.errors import BundleError, ChecksumMismatch, ModelMissing, RegraftError, UnknownName, reason_of
from regraft.inference.about import (
    ABOUT,
    FORMAT,
    PLAIN,
    TENSORS,
    WITH_THRESHOLD,
    WITH_WEIGHTS,
    About,
    described,
    digest_of,
    folder_of,
    learned_from,
    no_model,
    read_about,
    threshold_of,
    tta_of,
    unfinished,
)
from regraft.inference.classifier import Classifier
from regraft.training.head import HeadSpec, build_head
from regraft.utils import files
from regraft.utils.records import fitted, to_json
from regraft.weights.state import load_state, misfits

__all__ = [
    "ABOUT",
    "FORMAT",
    "TENSORS",
    "digest_of",
    "folder_of",
    "from_bytes",
    "learned_from",
    "load",
    "load_or",
    "save",
    "to_bytes",
    "unfinished",
]

Named = TypeVar("Named")


def save(folder: Path, classifier: Classifier) -> None:
    """Write a bundle, whole or not at all; one that is there already is replaced.

    Equal tensors and settings give equal bytes: no date, no path of the machine.
    """
    assert classifier.spec is not None, "a network's own ImageNet head is no new model"
    about = {
        "format": _format(classifier),
        "head": asdict(classifier.spec),
        "temperature": classifier.temperature,
        **described(classifier),
    }
    with files.whole(folder, instead=True) as temporary:
        temporary.mkdir(parents=True)
        save_tensors(_tensors(classifier), temporary / TENSORS)
        about["sha256"] = digest_of(files.sha256(temporary / TENSORS), about)
        (temporary / ABOUT).write_bytes(to_json(about))
        shutil.copymode(temporary / ABOUT, temporary / TENSORS)  # safetensors lets nobody but the owner read its files


def to_bytes(classifier: Classifier) -> dict[str, bytes]:
    """Return the files of a bundle by name: what a pickle holds of a model, in place of its modules."""
    with tempfile.TemporaryDirectory(prefix="regraft-") as made:
        folder = Path(made) / "model"
        save(folder, classifier)
        return {name: (folder / name).read_bytes() for name in (TENSORS, ABOUT)}


def from_bytes(content: Mapping[str, bytes]) -> Classifier:
    """Read what `to_bytes` returned.

    Raises:
        BundleError, ChecksumMismatch: as `load`.
    """
    with tempfile.TemporaryDirectory(prefix="regraft-") as folder:
        for name in (TENSORS, ABOUT):
            (Path(folder) / name).write_bytes(content[name])
        return replace(load(Path(folder)), folder=None)


def _tensors(classifier: Classifier) -> dict[str, Tensor]:
    body = {f"backbone.{name}": tensor for name, tensor in body_state(classifier.backbone).items()}
    head = {f"head.{name}": tensor for name, tensor in classifier.head.state_dict().items()}
    return {name: tensor.detach().cpu().contiguous() for name, tensor in (body | head).items()}


def body_state(backbone: Backbone) -> dict[str, Tensor]:
    """Return the tensors of the stages in the library's own names; those of the ImageNet head are left out."""
    unwanted = {id(tensor) for tensor in backbone.classifier.module.state_dict(keep_vars=True).values()}
    return {
        name: tensor for name, tensor in backbone.model.state_dict(keep_vars=True).items() if id(tensor) not in unwanted
    }


def load(path: str | os.PathLike[str]) -> Classifier:
    """Read the bundle that `path` is or, being a run, holds.

    Raises:
        BundleError: no bundle there, a part is missing or unreadable, or it is of a newer format.
        ChecksumMismatch: the tensors are not those that were written.
    """
    folder = folder_of(Path(path))
    if folder is None:
        raise ModelMissing(no_model(Path(path)))
    about = read_about(folder)
    try:
        return replace(_build(folder, about), folder=folder.absolute())
    except (BundleError, ChecksumMismatch):
        raise
    except (OSError, ValueError, RegraftError, safetensors.SafetensorError) as error:
        reason = reason_of(error).splitlines()[0].rstrip(".")
        raise BundleError(f"{folder} does not fit together: {reason}. Copy the whole folder again.") from error


def _format(classifier: Classifier) -> int:
    if classifier.tta.views > 1:
        return FORMAT
    if classifier.class_weights is not None:
        return WITH_WEIGHTS
    return PLAIN if classifier.threshold is None else WITH_THRESHOLD


def load_or(model: Path | str, named: Callable[[str], Named]) -> Classifier | Named:
    """Return the model in a run or bundle folder, or what `named` makes of a network's name.

    Raises:
        BundleError: a folder without a model.
        UnknownName: neither a folder nor a network.
    """
    if folder_of(Path(model)) is not None or Path(model).is_dir():
        return load(Path(model))
    try:
        return named(str(model))
    except UnknownName as error:
        if any(mark in str(model) for mark in "/\\"):
            raise ModelMissing(
                f"There is no folder {model}. Expected a run or bundle folder, or the name of a network."
            ) from error
        raise


def _build(folder: Path, about: dict[str, Any]) -> Classifier:
    """Build what a bundle describes; nothing is made that is larger than the file from which it is to be filled."""
    said = fitted(about, About, others=True)
    spec, threshold = fitted(said.head, HeadSpec, "head"), threshold_of(said.threshold, said.classes)
    if len(set(said.classes)) != len(said.classes) or len(said.classes) != spec.classes:
        raise ValueError(f"{len(said.classes)} class names for {spec.classes} classes, or two that are the same")
    if not (folder / TENSORS).is_file():
        raise ValueError(f"there is no file {TENSORS}")
    size = (folder / TENSORS).stat().st_size
    if _body(said.backbone) + _numbers(spec) > size:
        raise ValueError(f"{TENSORS} has {size} bytes, too few for a {said.backbone} with such a head")
    backbone = replace(build(said.backbone), preprocessing=Preprocessing.from_dict(said.preprocessing))
    if spec.width != backbone.embedding_width:
        raise ValueError(f"the head is for {spec.width} features, and {backbone.name} has {backbone.embedding_width}")
    tensors = load_tensors(_content(folder, about, most=2 * (_bytes_of(backbone) + 8 * _numbers(spec)) + (16 << 20)))
    load_state(backbone, _under(tensors, "backbone."), origin=str(folder))
    if said.class_weights is not None and len(said.class_weights) != spec.classes:
        raise ValueError(f"{len(said.class_weights)} class weights for {spec.classes} classes")
    head, own = build_head(spec).eval(), _under(tensors, "head.")
    if found := misfits(head.state_dict(), own):
        raise ValueError(f"of the head's tensors, {found}")
    head.load_state_dict(own)
    tta = Tta() if said.tta is None else tta_of(said.tta)
    return Classifier(backbone, head, said.classes, spec, about, said.temperature, threshold, said.class_weights, tta)


def _content(folder: Path, about: dict[str, Any], *, most: int) -> bytes:
    """Return what the file of tensors holds, if it and bundle.json are as they were written."""
    path = folder / TENSORS
    if path.stat().st_size > most:
        raise ValueError(f"{TENSORS} is larger than the network and head that it is to hold")
    content = path.read_bytes()
    if digest_of(hashlib.sha256(content).digest(), about) != about["sha256"]:
        raise ChecksumMismatch(
            f"{folder}: {TENSORS} or {ABOUT} is not as it was written, a byte was changed or lost. "
            "Copy the whole folder again."
        )
    return content


def _body(name: str) -> int:
    """Return how many numbers a network has below its own head, at least; none of them is made for it.

    A stranger's bundle may name the largest network that the libraries have. Those of our own table fit any machine.
    """
    if name in names():
        return 0
    with torch.device("meta"):
        return sum(tensor.numel() for tensor in body_state(build(name)).values())


def _bytes_of(backbone: Backbone) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in body_state(backbone).values())


def _numbers(spec: HeadSpec) -> int:
    return spec.width * spec.hidden + (spec.hidden or spec.width) * spec.classes


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
