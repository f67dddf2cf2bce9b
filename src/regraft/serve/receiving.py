"""Request -> the pictures in it, in memory, as far as bytes, number and time allow."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import NamedTuple

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from regraft.serve.limits import Limits

EXPECTED = "Expected a form with files: curl -F files=@photo.png; or the bytes of one picture: --data-binary @photo.png"
MOST_FIELDS = 16  # of a form, that are no files
RAW = ("image/", "application/octet-stream", "application/dicom", "application/x-www-form-urlencoded")
"""Kinds of bodies that are one picture; the last is what `curl --data-binary` says of any."""


class Upload(NamedTuple):
    """A picture, and what its sender calls it: text that is answered with, and nothing else."""

    name: str
    content: bytes


def announced(request: Request, limits: Limits) -> int:
    """Return how many bytes a request says that it has.

    Raises:
        HTTPException: it does not say so, or they are too many.
    """
    said = request.headers.get("content-length", "")
    if not said.isascii() or not said.isdigit() or "transfer-encoding" in request.headers:
        raise HTTPException(411, "The request does not say how long it is. Send it with Content-Length.")
    if int(said) > limits.bytes:
        raise HTTPException(
            413,
            f"{int(said) / 1e6:.1f} MB, more than the {limits.megabytes} MB that a request may have. "
            "Send fewer or smaller pictures.",
        )
    return int(said)


async def received(request: Request, limits: Limits) -> list[Upload]:
    """Return the pictures of a request.

    Raises:
        HTTPException: it is too large, too slow, broken, or has no picture.
    """
    try:
        found = await asyncio.wait_for(_read(request, limits), limits.seconds)
    except asyncio.TimeoutError:
        raise HTTPException(
            408, f"The request was not whole after {limits.seconds:g} s. Send fewer or smaller pictures."
        ) from None
    except ClientDisconnect:
        raise HTTPException(400, "The request was not sent to its end.") from None
    if not found:
        raise HTTPException(422, f"No picture in this request. {EXPECTED}")
    return found


async def _read(request: Request, limits: Limits) -> list[Upload]:
    kind = request.headers.get("content-type", "").lower()
    if kind.startswith("multipart/form-data"):
        return await _of_form(request, limits)
    if not kind or kind.startswith(RAW):
        content = await request.body()
        return [Upload("picture 1", content)] if content else []
    raise HTTPException(415, f"A body of {kind[:100]} is no picture. {EXPECTED}")


async def _of_form(request: Request, limits: Limits) -> list[Upload]:
    parser = MultiPartParser(request.headers, _chunks(request), max_files=limits.pictures, max_fields=MOST_FIELDS)
    parser.spool_max_size = 2 * limits.bytes  # above what can come: nothing is spooled to a disk
    try:
        form = await parser.parse()
    except (ClientDisconnect, asyncio.CancelledError):
        raise
    except MultiPartException as error:
        if error.message.startswith("Too many files"):
            raise HTTPException(
                413, f"More than the {limits.pictures} pictures that a request may have. Send several requests."
            ) from None
        raise HTTPException(400, f"The form cannot be read ({error.message.rstrip('.')}). {EXPECTED}") from None
    except Exception:  # noqa: BLE001 - a reader of what strangers send raises what it likes
        raise HTTPException(400, f"The form cannot be read. {EXPECTED}") from None
    files = [file for _, file in form.multi_items() if isinstance(file, UploadFile)]
    return [
        Upload(file.filename or f"picture {number}", await file.read()) for number, file in enumerate(files, start=1)
    ]


async def _chunks(request: Request) -> AsyncGenerator[bytes, None]:
    async for chunk in request.stream():
        yield chunk
