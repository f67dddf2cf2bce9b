"""What a client may ask of the service, and how much the service takes on at once."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from starlette.exceptions import HTTPException

MB = 10**6
MOST_CONNECTIONS = 512
AT_ONCE = 16
"""So many of the largest requests are held in memory together."""


@dataclass(frozen=True)
class Limits:
    """Of the service; how many pixels a picture may have is the decoder's, `--max-megapixels`."""

    megabytes: int = 32  # of a request
    pictures: int = 64  # of a request
    waiting: int = 256  # pictures in the queue of one model
    batch: int = 8  # pictures that are run together: more take more memory, and on a CPU they are hardly faster
    seconds: float = 30.0  # for a client to send its request, and as many for the answer

    @property
    def bytes(self) -> int:
        """The most bytes that a request may have."""
        return self.megabytes * MB


class Room:
    """How many bytes of requests are held, from their heads to their answers; the event loop alone asks."""

    def __init__(self, most: int) -> None:
        self._free = most

    @contextlib.contextmanager
    def hold(self, size: int) -> Iterator[None]:
        """Count a request's bytes as long as the block runs.

        Raises:
            HTTPException: there is no room for them now.
        """
        if size > self._free:
            raise busy("Too many requests are being received.")
        self._free -= size
        try:
            yield
        finally:
            self._free += size


def busy(reason: str) -> HTTPException:
    """Return the answer to a request that can be repeated in a moment."""
    return HTTPException(503, f"{reason} Ask again in a second.", {"Retry-After": "1"})
