"""What a source says that has no weights lying anywhere: it is asked for by its name."""

from __future__ import annotations

from pathlib import Path

from regraft.weights.sources import Network


def publishes(name: str, library: str) -> bool:
    """Nothing."""
    return False


def file(network: Network) -> Path | None:
    """There is none."""
    return None


def get(network: Network) -> None:
    """No command brings any."""


def here(name: str) -> bool:
    """Never by itself."""
    return False
