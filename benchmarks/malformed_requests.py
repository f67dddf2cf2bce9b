"""Send thousands of broken requests to the service and count what becomes of them.

    python benchmarks/malformed_requests.py runs/cells 10000

A fault is an answer of the service's own making (5xx), no answer to a request that is whole, or a good request that is
not answered right after. The exit status is 1 where there was one. Every number has a seed.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import random
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

from PIL import Image

ANSWER_S = 30.0
ODD = (
    b"\0",
    b"\r\n",
    b"\r\n\r\n",
    b"--",
    b'"',
    b"%00",
    b"../../etc/passwd",
    b"\xff\xfe",
    b"9" * 400,
    b"A" * 70_000,
    b"",
)
PATHS = (b"/predict", b"/explain", b"/models", b"/health", b"/ready", b"/metrics", b"/", b"/docs", b"/openapi.json")
VALUES = (
    "1",
    "0",
    "-1",
    "1e999",
    "nan",
    "",
    "x" * 5000,
    "%00",
    "%ff",
    "../../etc/passwd",
    "null",
    "[]",
    "٣",
    "1;2",
    "true",
)
HEADERS = (
    b"Content-Length: -1",
    b"Content-Length: 99999999999999999999",
    b"Content-Length: 5\r\nContent-Length: 6",
    b"Transfer-Encoding: chunked",
    b"Transfer-Encoding: gzip, chunked",
    b"Content-Type: multipart/form-data",
    b"Content-Type: multipart/form-data; boundary=",
    b"Content-Type: multipart/form-data; boundary=" + b"x" * 300,
    b"Content-Type: multipart/form-data; charset=klingon; boundary=edge",
    b"Content-Type: application/json",
    b"Expect: 100-continue",
    b"Upgrade: websocket\r\nConnection: Upgrade",
    b"Authorization: Bearer \xff\xfe",
    b"Cookie: " + b"a=b;" * 2000,
    b"Host: example.org",
    b"No colon here",
)


@dataclass
class Found:
    """What became of the requests."""

    tried: int = 0
    closed: int = 0  # without an answer: the request was not whole, or none
    statuses: dict[str, int] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)


def picture() -> bytes:
    file = io.BytesIO()
    Image.effect_noise((40, 30), 90).convert("RGB").save(file, "JPEG")
    return file.getvalue()


def form(content: bytes) -> bytes:
    head = b'--edge\r\nContent-Disposition: form-data; name="files"; filename="a.jpg"\r\n\r\n'
    return head + content + b"\r\n--edge--\r\n"


def request(
    body: bytes,
    target: bytes = b"/predict",
    method: bytes = b"POST",
    headers: bytes = b"Content-Type: multipart/form-data; boundary=edge",
) -> bytes:
    head = method + b" " + target + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" + headers
    return head + b"\r\nContent-Length: " + str(len(body)).encode() + b"\r\n\r\n" + body


def damaged(content: bytes, rng: random.Random) -> bytes:
    """Return bytes of which some were changed, lost, doubled or put in."""
    for _ in range(rng.randint(1, 4)):
        at, end = sorted(rng.randrange(len(content) + 1) for _ in range(2))
        change = rng.randrange(4)
        if change == 0:
            content = content[:at] + bytes([rng.randrange(256)]) + content[at + 1 :]
        elif change == 1:
            content = content[:at] + content[end:]
        elif change == 2:
            content = content[:at] + rng.choice(ODD) + content[at:]
        else:
            content = content[:end] + content[at:end] + content[end:]
    return content


def _query(rng: random.Random) -> bytes:
    names = ("top", "model", "abstain_below", "label", "other", "top[]", "")
    pairs = "&".join(f"{rng.choice(names)}={rng.choice(VALUES)}" for _ in range(rng.randint(1, 4)))
    return rng.choice(PATHS) + b"?" + "".join(one if one.isascii() else "%D9%A3" for one in pairs).encode()


KINDS: tuple[Callable[[random.Random, bytes], bytes], ...] = (
    lambda rng, sound: damaged(request(form(sound)), rng),
    lambda rng, sound: request(damaged(form(sound), rng)),
    lambda rng, sound: request(form(damaged(sound, rng))),
    lambda rng, sound: request(damaged(sound, rng), headers=b"Content-Type: image/jpeg"),
    lambda rng, sound: request(form(sound), _query(rng)),
    lambda rng, sound: request(form(sound), rng.choice(PATHS), rng.choice((b"GET", b"PUT", b"HEAD", b"BREW"))),
    lambda rng, sound: request(form(sound), headers=rng.choice(HEADERS)),
    lambda rng, sound: request(form(sound) * rng.randint(2, 9), headers=rng.choice(HEADERS)),
    lambda rng, sound: rng.randbytes(rng.randint(1, 500)),
    lambda rng, sound: request(form(sound))[: rng.randint(1, 400)],
    lambda rng, sound: request(b"", rng.choice(ODD).replace(b"\r\n", b"") or b"*"),
)


CUT = (0, 8, 9)
"""Kinds that may end too early: the service is told so, lest it waits for the rest."""


def asked(address: tuple[str, int], content: bytes, *, cut: bool = False) -> bytes:
    """Return all that comes back for some bytes, after which nothing more is sent."""
    parts: list[bytes] = []
    with socket.create_connection(address, ANSWER_S) as talk, contextlib.suppress(ConnectionError):
        talk.sendall(content)
        if cut:
            talk.shutdown(socket.SHUT_WR)
        while part := talk.recv(65536):
            parts.append(part)
    return b"".join(parts)


def try_all(address: tuple[str, int], number: int, seed: int = 0) -> Found:
    """Send broken requests, and behind every tenth a good one."""
    found, sound = Found(), picture()
    expected = asked(address, request(form(sound))).partition(b'"pictures":')[2].partition(b'"ms"')[0]
    if not expected:
        found.faults.append("a good request is not answered before anything else")
    for at in range(number):
        rng = random.Random(f"{seed} {at}")
        answer = asked(address, KINDS[at % len(KINDS)](rng, sound), cut=at % len(KINDS) in CUT)
        statuses = re.findall(rb"HTTP/1\.1 (\d{3}) ", answer[:20])
        found.tried += 1
        if not statuses:
            found.closed += 1
            continue
        status = statuses[0].decode()
        found.statuses[status] = found.statuses.get(status, 0) + 1
        if status.startswith("5"):
            found.faults.append(f"{at}: {answer[-300:]!r}")
        if at % 10 == 9 and expected not in asked(address, request(form(sound))):
            found.faults.append(f"{at}: a good request is not answered after it")
    if expected not in asked(address, request(form(sound))):
        found.faults.append("a good request is not answered after all")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("number", type=int, nargs="?", default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    command = [sys.executable, "-m", "regraft", "serve", given.model, "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as service:
        assert service.stderr
        port = next(int(at[1]) for line in service.stderr if (at := re.search(r"http://127\.0\.0\.1:(\d+)", line)))
        found = try_all(("127.0.0.1", port), given.number, given.seed)
        service.terminate()
        said = service.stderr.read()
    print(json.dumps(asdict(found), indent=2))
    if "Traceback" in said:
        print(said)
    sys.exit(bool(found.faults) or "Traceback" in said)


if __name__ == "__main__":
    main()
