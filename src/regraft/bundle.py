"""Classifier <-> bundle: a folder with ``model.safetensors`` and ``bundle.json``, no code.

``bundle.json`` names the format, the network, the classes, the preprocessing and where the weights came from, and holds
the SHA-256 of the tensors: a changed byte is noticed before a doctor sees a wrong answer.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypeVar

import safetensors
from safetensors.torch import load as load_tensors
from safetensors.torch import save_file as save_tensors
from torch import Tensor

from regraft import __version__, files
from regraft.backbones import Backbone, build
from regraft.classifier import Classifier
from regraft.data import Preprocessing, learned_digests
from regraft.decision import Threshold
from regraft.errors import BundleError, ChecksumMismatch, UnknownName, reason_of
from regraft.head import HeadSpec, build_head
from regraft.weights import load_state

Named = TypeVar("Named")

FORMAT, WITHOUT_THRESHOLD = 2, 1  # who reads only 1 would answer past a threshold, so that a bundle without one keeps 1
TENSORS, ABOUT = "model.safetensors", "bundle.json"


def save(folder: Path, classifier: Classifier) -> None:
    """Write a bundle, whole or not at all; one that is there already is replaced.

    Equal tensors and settings give equal bytes: no date, no path of the machine.
    """
    assert classifier.spec is not None, "a network's own ImageNet head is no new model"
    about = {
        "format": WITHOUT_THRESHOLD if classifier.threshold is None else FORMAT,
        "regraft": __version__,
        "backbone": classifier.backbone.name,
        "classes": list(classifier.classes),
        "preprocessing": classifier.backbone.preprocessing.as_dict(),
        "head": asdict(classifier.spec),
        "temperature": classifier.temperature,
        **({} if classifier.threshold is None else {"threshold": asdict(classifier.threshold)}),
        **{key: value for key, value in classifier.about.items() if key in ("method", "trained", "lineage")},
    }
    with files.whole(folder, instead=True) as temporary:
        temporary.mkdir(parents=True)
        save_tensors(_tensors(classifier), temporary / TENSORS)
        about["sha256"] = _digest(files.sha256(temporary / TENSORS), about)
        (temporary / ABOUT).write_text(json.dumps(about, indent=1, ensure_ascii=False), encoding="utf-8")
        shutil.copymode(temporary / ABOUT, temporary / TENSORS)  # safetensors lets nobody but the owner read its files


def _digest(tensors: bytes, about: dict[str, Any]) -> str:
    """Return the SHA-256 of both files, `tensors` being that of one: the classes' order matters as much as tensors."""
    rest = {key: value for key, value in about.items() if key != "sha256"}
    return hashlib.sha256(tensors + json.dumps(rest, sort_keys=True).encode()).hexdigest()


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


def folder_of(path: Path) -> Path | None:
    """Return the bundle that `path` is or, being a run, holds; None when it is neither."""
    return next(
        (folder for folder in (path, path / "model") if (folder / ABOUT).exists() or (folder / TENSORS).exists()), None
    )


def learned_from(path: Path) -> set[str]:
    """Return the digests of the pictures that the run `path` learned from, as far as it is a run and names them."""
    folder = folder_of(path)
    return learned_digests(folder.parent / "split.csv") if folder else set()


def load(path: Path) -> Classifier:
    """Read the bundle that `path` is or, being a run, holds.

    Raises:
        BundleError: no bundle there, a part is missing or unreadable, or it is of a newer format.
        ChecksumMismatch: the tensors are not those that were written.
    """
    folder = folder_of(path)
    if folder is None:
        raise BundleError(_no_model(path))
    about = _read_about(folder)
    try:
        content = (folder / TENSORS).read_bytes()
    except OSError as error:
        raise BundleError(
            f"{folder / TENSORS} cannot be read ({error.strerror}). Copy the whole folder again."
        ) from error
    if _digest(hashlib.sha256(content).digest(), about) != about["sha256"]:
        raise ChecksumMismatch(
            f"{folder}: {TENSORS} or {ABOUT} is not as it was written, a byte was changed or lost. "
            "Copy the whole folder again."
        )
    return _build(folder, about, load_tensors(content))


def _no_model(path: Path) -> str:
    if not path.exists():
        return f"There is no folder {path}. Expected that of a run or bundle."
    if (path / "fold-1").is_dir():
        return (
            f"{path} is a cross-validation: each fold has a model of its own, and none has learned from all pictures. "
            f"Use that of a fold, {path / 'fold-1'}, or train one without --folds."
        )
    return (
        f"{path} holds no model ({ABOUT} and {TENSORS}, there or in model/). "
        "Is this a run that did not finish? Go on with --resume."
    )


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
            raise BundleError(
                f"There is no folder {model}. Expected a run or bundle folder, or the name of a network."
            ) from error
        raise


def _read_about(folder: Path) -> dict[str, Any]:
    try:
        about: dict[str, Any] = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        found, _ = int(about["format"]), str(about["sha256"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BundleError(
            f"{folder / ABOUT} is missing or damaged ({reason_of(error)}). Copy the whole folder again."
        ) from error
    if found > FORMAT:
        raise BundleError(
            f"{folder} has format {found}; this Regraft ({__version__}) reads up to {FORMAT}. "
            "Update it: pip install --upgrade regraft"
        )
    return about


def _build(folder: Path, about: dict[str, Any], tensors: dict[str, Tensor]) -> Classifier:
    try:
        spec = HeadSpec(**about["head"])
        backbone = replace(build(about["backbone"]), preprocessing=Preprocessing.from_dict(about["preprocessing"]))
        head = build_head(spec).eval()
        if not isinstance(about["classes"], list) or len(about["classes"]) != spec.classes:
            raise TypeError(f"{len(about['classes'])} class names for {spec.classes} classes")
        load_state(backbone, _under(tensors, "backbone."), origin=str(folder))
        head.load_state_dict(_under(tensors, "head."))
        return Classifier(backbone, head, tuple(about["classes"]), spec, about, _temperature(about), _threshold(about))
    except (KeyError, TypeError, RuntimeError, safetensors.SafetensorError) as error:
        raise BundleError(
            f"{folder} does not fit together: {str(error).splitlines()[0]}. Was {ABOUT} edited?"
        ) from error


def _temperature(about: dict[str, Any]) -> float:
    found = about.get("temperature", 1.0)  # bundles from before there were temperatures
    if not isinstance(found, int | float) or not 0 < found < math.inf:
        raise TypeError(f"temperature is {found!r}, not a number above 0")
    return float(found)


def _threshold(about: dict[str, Any]) -> Threshold | None:
    if about.get("threshold") is None:
        return None
    found = Threshold(**about["threshold"])
    if found.positive not in about["classes"] or len(about["classes"]) != 2 or not 0 <= found.value <= 1:
        raise TypeError(f"threshold is {about['threshold']!r}, not a probability of one of two classes")
    return found


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
