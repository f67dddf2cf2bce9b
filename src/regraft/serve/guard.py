"""Look at a request before anything is done for it, and at its answer before it goes: host, token, headers, figures."""

from __future__ import annotations

import hmac
import time
from collections.abc import Mapping
from dataclasses import dataclass

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from regraft.serve.metrics import Metrics

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
GUARDED = ("/predict", "/explain", "/models", "/metrics")
"""What asks for the token; the page asks for it by itself, and whoever watches over the service has none."""
LOCAL = ("localhost", "127.0.0.1", "[::1]")


@dataclass(frozen=True)
class Guard:
    """What stands around the application."""

    app: ASGIApp
    metrics: Metrics
    paths: frozenset[str]  # those that there are: others are counted together
    token: str | None = None
    local: bool = True  # only this machine may ask: then no page of another site, by a name that it lets point here

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, status = time.monotonic(), 499  # of a client that has gone away

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        try:
            await (self._refusal(scope) or self.app)(scope, receive, sending)
        finally:
            path = scope["path"] if scope["path"] in self.paths else "other"
            self.metrics.answered(path, status, time.monotonic() - started)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "").rpartition(":")[0] or headers.get("host", "")
        if self.local and host not in LOCAL and headers.get("host", "") not in LOCAL:
            return PlainTextResponse(
                "Error: This service answers this machine alone, as localhost or 127.0.0.1: --host lets others ask.\n",
                421,
            )
        if scope["path"] in GUARDED and not self._known(headers.get("authorization", "")):
            return PlainTextResponse(
                "Error: This service asks for its token: -H 'Authorization: Bearer TOKEN'.\n",
                401,
                {"WWW-Authenticate": "Bearer"},
            )
        return None

    def _known(self, said: str) -> bool:
        if self.token is None:
            return True
        kind, _, token = said.partition(" ")
        same = hmac.compare_digest(token.strip(" ").encode("latin-1"), self.token.encode())
        return kind.lower() == "bearer" and same
