"""Address and parameters -> answer: what the service can be asked, and how what goes wrong is told."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, TypeVar
from urllib.parse import quote

import msgspec
from fastapi import APIRouter, FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse, Response

from regraft.errors import BadImage, ConfigError, RegraftError, UnknownName
from regraft.inference.predict import check_abstaining
from regraft.serve import page
from regraft.serve.batching import Full
from regraft.serve.guard import Guard
from regraft.serve.hosted import Hosted, choose
from regraft.serve.limits import AT_ONCE, Limits, Room, busy
from regraft.serve.metrics import Metrics
from regraft.serve.receiving import announced, received
from regraft.serve.said import Models, Picture, Predicted, Timing, decision_of, model_of, pictures_of
from regraft.utils.streams import one_line
from regraft.utils.version import __version__

T = TypeVar("T")

MOST_CLASSES = 100_000
EXPLAINING_S = 120.0
"""The first heat map of a model loads torch and its tensors."""

Named = Annotated[str | None, Query(description="A model's name, see /models. Default: the first one.")]
Top = Annotated[int, Query(ge=1, le=MOST_CLASSES, description="How many classes for each picture.")]
Abstain = Annotated[
    float | None,
    Query(
        ge=0, le=1, description="Give no label where the highest probability is lower: such pictures are for a human."
    ),
]
Label = Annotated[str | None, Query(description="The class to explain. Default: the predicted one.")]


@dataclass(frozen=True)
class Service:
    """What answers."""

    hosted: Mapping[str, Hosted]
    limits: Limits
    metrics: Metrics
    room: Room


def application(
    hosted: Mapping[str, Hosted], limits: Limits, metrics: Metrics, token: str | None, local: bool
) -> Guard:
    """Return the application, with what stands around it."""
    app = FastAPI(
        title="Regraft",
        version=__version__,
        description="What models say of pictures.",
        docs_url=None,
        redoc_url=None,
    )
    app.include_router(_routes(Service(hosted, limits, metrics, Room(AT_ONCE * limits.bytes))))
    app.include_router(page.routes())
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(RequestValidationError, _misunderstood)
    app.add_exception_handler(RegraftError, _failed)
    metrics.watch(hosted)
    return Guard(app, metrics, page.PATHS | app.openapi()["paths"].keys(), token, local)


def _routes(service: Service) -> APIRouter:
    routes = APIRouter()
    hosted, metrics = service.hosted, service.metrics

    @routes.post("/predict", response_model=Predicted, responses=_REFUSALS, openapi_extra=_body("files", several=True))
    async def predict(request: Request, model: Named = None, top: Top = 5, abstain_below: Abstain = None) -> Response:
        """Say what is on pictures: a form with one or several files, or the bytes of one picture as the body.

        A picture that cannot be read has its reason in `error`, and the status is 422 where none can be.
        """
        return await _predict(service, request, choose(hosted, model), top, abstain_below)

    @routes.post("/explain", response_class=Response, responses=_PNG | _REFUSALS, openapi_extra=_body("file"))
    async def explain(request: Request, model: Named = None, label: Label = None) -> Response:
        """Draw where a picture speaks for a class: a PNG, on the left what the network sees, on the right its heat map.

        The headers `X-Label` and `X-Prob` name the class, percent-encoded, and its probability. Status 204: no place
        speaks for it.
        """
        return await _explain(service, request, choose(hosted, model), label)

    @routes.get("/models", response_model=Models)
    async def models() -> Response:
        """Say which models there are, with their classes and the rule by which they predict."""
        return _json(Models([model_of(one) for one in hosted.values()]))

    @routes.get("/health", response_class=PlainTextResponse)
    async def health() -> Response:
        """Say that the process answers."""
        return PlainTextResponse("alive\n")

    @routes.get("/ready", response_class=PlainTextResponse, responses={503: {"description": "not now"}})
    async def ready() -> Response:
        """Say whether a request would be answered now; 503 where a queue is full."""
        for one in hosted.values():
            if one.batches.full or not one.batches.alive:
                raise busy(f"{one.name} takes no more pictures.")
        return PlainTextResponse("ready\n")

    @routes.get("/metrics", response_class=PlainTextResponse)
    async def figures() -> Response:
        """Show requests, pictures, batches and queues in Prometheus' text format."""
        return Response(metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    return routes


async def _predict(
    service: Service, request: Request, hosted: Hosted, top: int, abstain_below: float | None
) -> Response:
    check_abstaining(hosted.name, hosted.answering, abstain_below)
    started = time.monotonic()
    with service.room.hold(announced(request, service.limits)):
        uploads = await received(request, service.limits)
        read = time.monotonic()
        asked = partial(hosted.batches.submit, [upload.content for upload in uploads])
        found = await _answers(asked, service.limits.seconds)
    names = [upload.name for upload in uploads]
    pictures = pictures_of(names, found, hosted.answering, top, abstain_below)
    for picture in pictures:
        service.metrics.picture(hosted.name, _outcome(picture))
    _refuse_unreadable(pictures)
    ms = Timing(round(1000 * (read - started), 1), round(1000 * (time.monotonic() - read), 1))
    rule, threshold = hosted.answering.rule, decision_of(hosted.answering)
    return _json(Predicted(hosted.name, rule, threshold, abstain_below, pictures, ms))


async def _explain(service: Service, request: Request, hosted: Hosted, label: str | None) -> Response:
    explaining = hosted.explaining
    if explaining is None:
        raise HTTPException(422, f"{hosted.name} is an exported file, which has no heat maps. Serve its run for them.")
    if label is not None and label not in hosted.answering.classes:
        raise UnknownName("class", label, hosted.answering.classes)
    with service.room.hold(announced(request, service.limits)):
        uploads = await received(request, service.limits)
        if len(uploads) > 1:
            raise HTTPException(413, f"{len(uploads)} pictures; /explain takes one. Send a request for each.")
        asked = partial(explaining.submit, uploads[0].content, label)
        ((png, seen),) = await _answers(lambda: [asked()], EXPLAINING_S)
    headers = {"X-Label": quote(seen.label), "X-Prob": f"{seen.prob:.6f}"}
    return Response(png, 200, headers, "image/png") if png else Response(status_code=204, headers=headers)


async def _answers(submit: Callable[[], Sequence[Future[T]]], seconds: float) -> list[T]:
    """Return what becomes of jobs that are handed in.

    Raises:
        HTTPException: they find no place, or take too long; then they are given up.
    """
    try:
        waiting = asyncio.gather(*map(asyncio.wrap_future, submit()))
        return list(await asyncio.wait_for(waiting, seconds))
    except Full:
        raise busy("The queue is full.") from None
    except asyncio.TimeoutError:
        raise busy(f"There was no answer within {seconds:g} s.") from None


def _outcome(picture: Picture) -> str:
    return "unreadable" if picture.error else "abstained" if picture.abstained else "predicted"


def _refuse_unreadable(pictures: Sequence[Picture]) -> None:
    if all(picture.error for picture in pictures):
        first = f"{pictures[0].filename}: {pictures[0].error}"
        raise HTTPException(
            422,
            first if len(pictures) == 1 else f"None of these {len(pictures)} pictures can be read; the first: {first}",
        )


# ---- how it is told ------------------------------------------------------------------------------------------------


def _json(answer: object) -> Response:
    return Response(msgspec.json.encode(answer), media_type="application/json")


def _told(text: str, status: int, headers: Mapping[str, str] | None = None) -> Response:
    line = f"Error: {one_line(text)}\n".encode(errors="replace")
    return Response(line, status, headers, "text/plain; charset=utf-8")


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    known = {
        404: f"There is no {request.url.path[:200]}. See /docs.",
        405: f"{request.method} is not for this. See /docs.",
    }
    return _told(known.get(error.status_code, error.detail), error.status_code, error.headers)


async def _misunderstood(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    return _told(f"{first['loc'][-1]} is {str(first['input'])[:100]!r}: {first['msg']}. See /docs.", 422)


STATUS: Mapping[type[RegraftError], int] = {UnknownName: 404, BadImage: 422, ConfigError: 422}
"""Of errors that a client can mend; others are the service's."""


async def _failed(request: Request, error: Exception) -> Response:
    return _told(str(error), next((status for kind, status in STATUS.items() if isinstance(error, kind)), 500))


# ---- what /docs says beside the parameters -------------------------------------------------------------------------

_SAID = {
    400: "broken",
    401: "no token, or another one",
    404: "no such model or class",
    408: "too slow",
    411: "its length is not said",
    413: "too many bytes or pictures",
    415: "no picture",
    422: "a parameter out of its range, or no picture that can be read",
    503: "too much at once: Retry-After says when to ask again",
}
_REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"description": said, "content": {"text/plain": {"schema": {"type": "string"}}}}
    for status, said in _SAID.items()
}
_PNG: dict[int | str, dict[str, Any]] = {
    200: {"content": {"image/png": {}}, "description": "the picture beside its heat map"},
    204: {"description": "no place speaks for the class"},
}


def _body(name: str, *, several: bool = False) -> dict[str, Any]:
    file = {"type": "string", "format": "binary"}
    field = {"type": "array", "items": file} if several else file
    form = {"type": "object", "properties": {name: field}, "required": [name]}
    kinds = {"multipart/form-data": {"schema": form}, "application/octet-stream": {"schema": file}}
    return {"requestBody": {"required": True, "content": kinds}}
