"""Say what of this machine the process may use."""

from __future__ import annotations

import os


def cores() -> int:
    """Return the number of processor cores that this process may run on: in a container fewer than there are."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS and Windows
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
