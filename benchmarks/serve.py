"""Let clients ask the service for a minute: pictures a second beside a bare loop, how long they wait, and its memory.

    python benchmarks/serve.py RUN PICTURES --seconds 60 --clients 32

RUN is a run or an exported file, PICTURES a folder. The bare loop hands the same bytes to the same model in batches, in
one process, without HTTP. The gain from batching is that over a service whose batches are of one picture. Only ratios
within one run mean anything.
"""

from __future__ import annotations

import argparse
import itertools
import json
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from regraft.data.folders import pictures_below

BARE_S = 15.0


def request(content: bytes) -> bytes:
    head = "POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"
    head += f"Content-Length: {len(content)}\r\n\r\n"
    return head.encode() + content


def asked(talk: socket.socket, sent: bytes) -> bool:
    """Send a request and read its answer; say whether it is a good one."""
    talk.sendall(sent)
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += talk.recv(65536)
    head, _, body = answer.partition(b"\r\n\r\n")
    length = int(re.search(rb"content-length: (\d+)", head)[1])
    while len(body) < length:
        body += talk.recv(65536)
    return head.startswith(b"HTTP/1.1 200")


def load(port: int, contents: list[bytes], clients: int, seconds: float) -> tuple[list[float], int, float]:
    """Return how long each answer took, how many were none, and the seconds of all."""
    waits: list[list[float]] = [[] for _ in range(clients)]
    errors = [0] * clients
    until = time.monotonic() + seconds

    def client(number: int) -> None:
        with socket.create_connection(("127.0.0.1", port), 120) as talk:
            for content in itertools.cycle(contents[number % len(contents) :] + contents[: number % len(contents)]):
                started = time.monotonic()
                if started > until:
                    return
                errors[number] += not asked(talk, request(content))
                waits[number].append(time.monotonic() - started)

    started = time.monotonic()
    threads = [threading.Thread(target=client, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(itertools.chain(*waits)), sum(errors), time.monotonic() - started


@contextmanager
def service(model: str, batch: int) -> Iterator[int]:
    """Start a service and give its port."""
    command = [sys.executable, "-m", "regraft", "serve", model, "--port", "0", "--batch", str(batch)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        yield next(int(at[1]) for line in process.stderr if (at := re.search(r"http://127\.0\.0\.1:(\d+)", line)))
        process.terminate()


def memory_mb(port: int) -> float:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        return float(re.search(rb"\nprocess_resident_memory_bytes (\S+)", answer.read())[1]) / 1e6


def bare(model: str, contents: list[bytes], size: int) -> float:
    """Return pictures a second of the same model in batches, without HTTP."""
    from regraft.serve.hosted import open_hosted
    from regraft.serve.limits import Limits
    from regraft.utils.progress import Progress

    (hosted,) = open_hosted([model], {}, Limits(), lambda name, size: None, Progress()).values()
    answer, done = hosted.answering.of_contents(), 0
    batch = list(itertools.islice(itertools.cycle(contents), size))
    started = time.monotonic()
    while time.monotonic() < started + BARE_S:
        done += len(list(answer(batch)))
    return done / (time.monotonic() - started)


def measured(model: str, contents: list[bytes], clients: int, seconds: float, batch: int) -> dict[str, float]:
    with service(model, batch) as port:
        load(port, contents, clients, 3.0)  # what is taken once has been taken
        start = memory_mb(port)
        waits, errors, took = load(port, contents, clients, seconds)
        p50, p99 = np.percentile(waits, [50, 99])
        return {
            "pictures_per_s": round(len(waits) / took, 1),
            "errors": errors,
            "p50_ms": round(1000 * p50, 1),
            "p99_ms": round(1000 * p99, 1),
            "memory_mb_at_start": round(start),
            "memory_mb_at_end": round(memory_mb(port)),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=60.0)
    given = parser.parse_args()
    contents = [path.read_bytes() for path in pictures_below(given.pictures)[0][:500]]
    alone = {f"batches of {size}": bare(given.model, contents, size) for size in sorted({1, given.batch})}
    found = measured(given.model, contents, given.clients, given.seconds, given.batch)
    single = measured(given.model, contents, given.clients, given.seconds, 1)
    print(
        json.dumps(
            {
                "clients": given.clients,
                "service": found,
                "batches_of_one": single,
                "bare_pictures_per_s": {name: round(one, 1) for name, one in alone.items()},
                "service / bare": round(found["pictures_per_s"] / alone[f"batches of {given.batch}"], 2),
                "gain from batching": round(found["pictures_per_s"] / single["pictures_per_s"], 2),
            },
            indent=2,
        )
    )


if __name__ == "__main__":
    main()
