"""Connection -> requests, as uvicorn reads them; who does not say what he wants is not waited for."""

from __future__ import annotations

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from regraft.serve.limits import MOST_CONNECTIONS

HEAD_S = 10.0
"""For the head of a request, from the connection or the first byte after the answer before."""


class Connection(H11Protocol):
    """uvicorn's own waits for ever for the head of a request, and takes any number of connections."""

    _head: asyncio.TimerHandle | None = None
    head_s = HEAD_S

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection, unless there are too many."""
        super().connection_made(transport)
        if len(self.connections) > MOST_CONNECTIONS:
            self._end(
                b"503 Service Unavailable", b"Too many connections. Ask again in a second.", b"Retry-After: 1\r\n"
            )
        else:
            self._expect_head()

    def data_received(self, data: bytes) -> None:
        """Take bytes of a request."""
        if self.transport.is_closing():
            return
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._head_is_here()
        elif self._head is None:
            self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget a connection."""
        self._head_is_here()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Tell who sends what is no HTTP, unless he has an answer, and let nobody go on with what he sent before."""
        if self.cycle is not None:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            super().send_400_response(f"Error: {msg}")
        else:
            self.transport.close()

    def _expect_head(self) -> None:
        self._head = self.loop.call_later(self.head_s, self._too_slow)

    def _head_is_here(self) -> None:
        if self._head is not None:
            self._head.cancel()
            self._head = None

    def _too_slow(self) -> None:
        self._head = None
        if self.cycle is None or self.cycle.response_complete:
            self._end(b"408 Request Timeout", f"No request came within {self.head_s:g} s.".encode())

    def _end(self, status: bytes, text: bytes, more: bytes = b"") -> None:
        if not self.transport.is_closing():
            length = str(len(text) + 1).encode()
            kind = b"Content-Type: text/plain; charset=utf-8\r\nConnection: close\r\n"
            self.transport.write(
                b"HTTP/1.1 "
                + status
                + b"\r\n"
                + kind
                + more
                + b"Content-Length: "
                + length
                + b"\r\n\r\n"
                + text
                + b"\n"
            )
            self.transport.close()


def reading(head_s: float) -> Any:
    """Return what uvicorn makes of each connection, with so many seconds for the head of a request."""
    return type("Connection", (Connection,), {"head_s": head_s})
