"""Say what of this machine the process may use."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs


def cores() -> int:
    """Return the number of processor cores that this process may run on: in a container fewer than there are."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS and Windows
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cache_folder() -> Path:
    """Return where Regraft keeps what it can make again: ``REGRAFT_CACHE``, or the system's folder for caches."""
    return Path(os.environ.get("REGRAFT_CACHE") or platformdirs.user_cache_dir("regraft", appauthor=False))
