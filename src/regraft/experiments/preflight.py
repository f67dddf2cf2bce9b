"""What can be refused at once, before torch is imported, which takes seconds: paths, names and settings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from regraft import catalog, methods
from regraft.config import Config
from regraft.errors import DataMissing, ModelMissing


def preflight(
    data: Path, settings: Mapping[str, Any], *, backbones: str | None = None, named: str | None = None
) -> None:
    """Refuse data that are not there, and settings, methods and networks that nothing goes by.

    Args:
        data: as in `train`.
        settings: fields of `Config` that the user gave.
        backbones: several networks, joined by commas, as in `compare`.
        named: several methods, joined by commas.

    Raises:
        ConfigError, UnknownName, DataError: with what was meant, probably.
    """
    config = Config(**settings)
    for method in (named or config.method).split(","):
        methods.check(method.strip())
    for name in (backbones or config.backbone).split(","):
        if name.strip() not in ("available", "families", ""):
            catalog.check(name.strip())
    if not data.exists():
        raise DataMissing(f"{data} does not exist. Expected a folder of class folders, or a table.")


def preflight_model(model: str) -> None:
    """Refuse a model that is neither a folder nor a network.

    Raises:
        ModelMissing, UnknownName: with the nearest names.
    """
    if Path(model).exists():
        return
    if "/" in model or "\\" in model:
        raise ModelMissing(f"There is no folder {model}. Expected a run or bundle folder, or the name of a network.")
    catalog.check(model)
