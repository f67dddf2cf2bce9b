"""Folder of a run or bundle -> what its bundle.json says: read, and checked, before torch is needed for it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from msgspec import Meta

from regraft.data import Tta, augmentations, learned_digests
from regraft.errors import BundleError, reason_of
from regraft.metrics.thresholds import TARGETS, Threshold
from regraft.training.history import Stop
from regraft.utils.records import Above0, fitted, read_json
from regraft.utils.version import __version__

if TYPE_CHECKING:
    from regraft.inference.answering import Answering

FORMAT, WITH_WEIGHTS, WITH_THRESHOLD, PLAIN = 4, 3, 2, 1
"""Who reads only 1 would answer past a threshold, only 2 past class weights, only 3 from one view; others keep 1."""
TENSORS, ABOUT = "model.safetensors", "bundle.json"
KEPT_ABOUT = (
    "method",
    "trained",
    "lineage",
    "frozen_part",
    "unfinished",
)  # of a run; unfinished: where Ctrl-C has ended it


def folder_of(path: Path) -> Path | None:
    """Return the bundle that `path` is or, being a run, holds; None when it is neither."""
    return next(
        (folder for folder in (path, path / "model") if (folder / ABOUT).exists() or (folder / TENSORS).exists()), None
    )


def learned_from(path: Path) -> set[str]:
    """Return the digests of the pictures that the run `path` learned from, as far as it is a run and names them."""
    folder = folder_of(path)
    return learned_digests(folder.parent / "split.csv") if folder else set()


def unfinished(path: Path) -> dict[str, Any]:
    """Return what JSON says of the model of an unfinished run, ``{"unfinished": {…}}``; nothing of any other."""
    folder = folder_of(path)
    stop = read_about(folder).get("unfinished") if folder else None
    return {"unfinished": stop} if stop else {}


def no_model(path: Path) -> str:
    """Say why there is no model in a folder."""
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


def digest_of(tensors: bytes, about: dict[str, Any]) -> str:
    """Return the SHA-256 of both files, `tensors` being that of one: the classes' order matters as much as tensors."""
    rest = {key: value for key, value in about.items() if key != "sha256"}
    return hashlib.sha256(tensors + json.dumps(rest, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class _Seal:
    """What is looked at first, whatever else the format holds."""

    format: Annotated[int, Meta(ge=1)]
    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]


@dataclass(frozen=True)
class About:
    """What bundle.json has to hold, as far as it is read; the other entries are for people."""

    backbone: str
    classes: Annotated[tuple[Annotated[str, Meta(min_length=1)], ...], Meta(min_length=1)]
    preprocessing: dict[str, Any]
    head: dict[str, Any]
    temperature: Above0 = 1.0  # bundles from before there were temperatures
    threshold: dict[str, Any] | None = None
    class_weights: tuple[Above0, ...] | None = None
    tta: dict[str, Any] | None = None  # None: from the plain picture alone
    method: str = ""
    trained: tuple[str, ...] = ()
    lineage: tuple[dict[str, str | list[str]], ...] = ()
    unfinished: Stop | None = None  # where Ctrl-C has ended the run; None: it is finished


def read_about(folder: Path) -> dict[str, Any]:
    """Return what bundle.json says.

    Raises:
        BundleError: it is missing or damaged, or of a newer format.
    """
    try:
        about: dict[str, Any] = read_json(folder / ABOUT)
        found = fitted(about, _Seal, others=True).format
    except (OSError, ValueError) as error:
        raise BundleError(
            f"{folder / ABOUT} is missing or damaged ({reason_of(error)}). Copy the whole folder again."
        ) from error
    if found > FORMAT:
        raise BundleError(
            f"{folder} has format {found}; this Regraft ({__version__}) reads up to {FORMAT}. "
            "Update it: pip install --upgrade regraft"
        )
    return about


def described(model: Answering) -> dict[str, Any]:
    """Return what a bundle and an exported file both say of a model, beside their formats."""
    return {
        "regraft": __version__,
        "backbone": model.network_name,
        "classes": list(model.classes),
        "preprocessing": model.preprocessing.as_dict(),
        **({} if model.threshold is None else {"threshold": asdict(model.threshold)}),
        **({} if model.class_weights is None else {"class_weights": list(model.class_weights)}),
        **({} if model.tta.views == 1 else {"tta": asdict(model.tta)}),
        **{key: value for key, value in model.about.items() if key in KEPT_ABOUT},
    }


def threshold_of(said: dict[str, Any] | None, classes: Sequence[str]) -> Threshold | None:
    """Return the threshold of a model with these classes, if it has one.

    Raises:
        ValueError: it is none.
    """
    if said is None:
        return None
    found = fitted(said, Threshold, "threshold")
    if found.positive not in classes or len(classes) != 2 or found.target not in TARGETS:
        raise ValueError(f"threshold is {said!r}, not a probability of one of two classes")
    return found


def tta_of(said: dict[str, Any]) -> Tta:
    """Return the views that a model predicts from.

    Raises:
        ValueError, UnknownName: they are none.
    """
    found = fitted(said, Tta, "tta")
    augmentations(",".join(found.augment))  # raises where there is no such one
    return found
