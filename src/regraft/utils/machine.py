"""Say what of this machine the process may use."""

from __future__ import annotations

import contextlib
import functools
import os
import platform
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


@functools.cache
def processor() -> str:
    """Return the name of the processor's model, as far as the system tells it."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():  # Linux on x86
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def may_have_accelerator() -> bool:
    """Say whether torch could find a GPU here, without asking it: importing it takes seconds."""
    drivers = ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd")  # NVIDIA's, that of Windows' Linux, AMD's
    if any(Path(driver).exists() for driver in drivers):
        return True
    apple = platform.system() == "Darwin" and platform.machine() == "arm64"
    return apple or platform.system() == "Windows"
