"""Package -> what its files are called: a method, an engine or a section is added as a file and found by its name."""

from __future__ import annotations

import importlib
import pkgutil
import sys
from collections.abc import Iterable
from importlib.machinery import PathFinder
from typing import Any


def names(package: str) -> tuple[str, ...]:
    """Return the names of a package's files, sorted; neither they nor the package are imported.

    Files of helpers, whose names begin with an underscore, and packages are none.
    """
    found = pkgutil.iter_modules(list(_folders(package)))
    return tuple(sorted(one.name for one in found if not one.ispkg and not one.name.startswith("_")))


def load(package: str, name: str) -> Any:
    """Return the module that a file of a package is."""
    return importlib.import_module(f"{package}.{name}")


def _folders(package: str) -> Iterable[str]:
    if package in sys.modules:
        return sys.modules[package].__path__
    parent = package.rpartition(".")[0]
    found = PathFinder.find_spec(package, list(_folders(parent)) if parent else None)
    if found is None or found.submodule_search_locations is None:
        raise ModuleNotFoundError(f"There is no package {package}.", name=package)
    return found.submodule_search_locations
