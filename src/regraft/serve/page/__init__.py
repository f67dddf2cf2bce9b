"""The pages of the service, as files beside this one: what a browser asks for, and nothing that it names, is read."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from importlib.resources import files

from fastapi import APIRouter
from starlette.responses import Response

FILES: Mapping[str, tuple[str, str]] = {
    "/": ("page.html", "text/html; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/docs": ("docs.html", "text/html; charset=utf-8"),
    "/docs.js": ("docs.js", "text/javascript; charset=utf-8"),
}
PATHS = frozenset(FILES)


def routes() -> APIRouter:
    """Return what answers with the pages; each is read once."""
    found = APIRouter(include_in_schema=False)
    for path, (name, kind) in FILES.items():
        content = files(__name__).joinpath(name).read_bytes()
        found.add_api_route(path, _answering(content, kind), response_class=Response)
    return found


def _answering(content: bytes, kind: str) -> Callable[[], Awaitable[Response]]:
    async def answer() -> Response:
        return Response(content, media_type=kind)

    return answer
