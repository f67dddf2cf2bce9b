"""Classifier -> a file for other programs, which answers as the classifier does: one file a format, found by its name.

A format's file has ``PACKAGES`` (that it needs), ``SUFFIX``, ``PRECISIONS`` (the full one first), ``SAME`` (how near to
the model float32 comes), ``write(order, path)`` and ``run(path) -> Answer``; and ``BESIDE``, the names of other files
that it writes, and ``LOOKS_ONCE`` where it holds no test-time views.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from regraft.errors import ConfigError, ExportError, UnknownName
from regraft.utils import plugins


def names() -> tuple[str, ...]:
    """Return the names of all formats."""
    return plugins.names(__name__)


def module(name: str, precision: str = "float32") -> Any:
    """Return a format's module.

    Raises:
        UnknownName: there is no such format.
        ExportError: a package that it needs is not installed.
        ConfigError: the format has no such precision.
    """
    if name not in names():
        raise UnknownName("format", name, names())
    found = plugins.load(__name__, name)
    absent = [package for package in found.PACKAGES if find_spec(package) is None]
    if absent:
        need = " ".join(absent)
        raise ExportError(f"--format={name} needs {need}, which is not installed: pip install {need}")
    if precision not in found.PRECISIONS:
        raise ConfigError(f"--precision is {precision}; --format={name} has {', '.join(found.PRECISIONS)}.")
    return found
