"""What can be refused at once, before torch is imported, which takes seconds: paths, names and settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from regraft import catalog, methods
from regraft.config import Config
from regraft.data import Labelled, as_source
from regraft.errors import ConfigError, ModelMissing


def preflight(
    data: Labelled,
    settings: Mapping[str, Any],
    *,
    backbones: str | Sequence[str] | None = None,
    named: str | Sequence[str] | None = None,
) -> Path:
    """Refuse data that are not there, and settings, methods and networks that nothing goes by; return where data lie.

    Args:
        data: as in `train`; what is in memory is written when all else is right.
        settings: fields of `Config` that the user gave.
        backbones: several networks, as in `compare`.
        named: several methods.

    Raises:
        ConfigError, UnknownName, DataError: with what was meant, probably.
    """
    config = Config.of(**settings)
    for method in [config.method] if named is None else listed(named, "methods"):
        methods.check(method)
    for name in [config.backbone] if backbones is None else listed(backbones, "backbones"):
        if name not in ("available", "families"):
            catalog.check(name)
    return as_source(data)


def listed(given: str | Sequence[str], name: str) -> list[str]:
    """Return names that are given as a list or joined by commas.

    Raises:
        ConfigError: no names, or none at all.
    """
    names = given.split(",") if isinstance(given, str) else given
    if not isinstance(names, Sequence) or not all(isinstance(one, str) for one in names):
        raise ConfigError(f"{name} is {given!r}; expected names, as a list or joined by commas.")
    found = [one.strip() for one in names if one.strip()]
    if not found:
        raise ConfigError(f"--{name} names nothing. Expected names joined by commas; without it there is a default.")
    return found


def preflight_model(model: str) -> None:
    """Refuse a model that is neither a folder nor a network.

    Raises:
        ModelMissing, UnknownName: with the nearest names.
    """
    if Path(model).exists():
        return
    if model.lower().endswith(".onnx"):
        raise ModelMissing(f"There is no file {model}. Expected one that regraft export has written.")
    if "/" in model or "\\" in model:
        raise ModelMissing(f"There is no folder {model}. Expected a run or bundle folder, or the name of a network.")
    catalog.check(model)
