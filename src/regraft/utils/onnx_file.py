"""ONNX file <-> what it says of itself, and a seal that tells whether it is as it was written; without onnx."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from typing import Any


def described(model: bytes, about: Mapping[str, str]) -> bytes:
    """Return a model with more entries in its ``metadata_props``, and a seal behind them.

    Protocol buffers may be continued by appending, and loading onnx for it would take half a second.
    """
    model += b"".join(_entry(name, value) for name, value in about.items())
    return model + _seal(model)


def is_whole(model: bytes) -> bool:
    """Say whether a model that was sealed is as it was written: a changed weight would load and answer wrongly."""
    return model[-SEAL_BYTES:] == _seal(memoryview(model)[:-SEAL_BYTES])


def sound(model: bytes) -> bytes | None:
    """Return a model that is as it was written, None of any other."""
    return model if is_whole(model) else None


def runtime() -> Any:
    """Return the package onnxruntime, which is kept from telling its makers.

    From version 1.29 on it sends events of its sessions to Microsoft and leaves an identifier in the user's cache,
    unless this variable is set before it is imported. What a user has set stays.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    return onnxruntime


def session(model: bytes, threads: int) -> Any:
    """Return what runs a model on the CPU."""
    onnxruntime = runtime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _seal(model: bytes | memoryview) -> bytes:
    """Return what is put at the end: the SHA-256 of the rest, as one more entry.

    A file that tells by itself whether it is whole cannot lose its digest, and two processes that write at once cannot
    mix theirs.
    """
    return _entry("sha256", hashlib.sha256(model).hexdigest())


def _entry(name: str, value: str) -> bytes:
    """Return an entry of ``metadata_props``: field 14 of the model, in which 1 is the name and 2 the value."""
    fields = b"".join(tag + _length(text) + text for tag, text in ((b"\x0a", name.encode()), (b"\x12", value.encode())))
    return b"\x72" + _length(fields) + fields


def _length(content: bytes) -> bytes:
    """Return the number of bytes as a varint: seven bits in each, the lowest first, and one that says if more come."""
    left, found = len(content), []
    while left > 127:
        found.append(left & 127 | 128)
        left >>= 7
    return bytes([*found, left])


SEAL_BYTES = len(_seal(b""))
"""What the seal takes at the end of a model."""
