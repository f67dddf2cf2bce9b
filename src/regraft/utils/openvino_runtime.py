"""OpenVINO, kept from telling its makers."""

from __future__ import annotations

import sys
from typing import Any


def runtime() -> Any:
    """Return the package.

    On import it sends an event to Google Analytics and leaves an identifier in the home folder, where its package
    openvino_telemetry can be imported. None in its place is Python's way to say that it cannot.
    """
    if "openvino" not in sys.modules:
        sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino
