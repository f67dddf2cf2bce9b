"""What tests of the service share: models that are opened once, and a service on a port of this machine."""

from __future__ import annotations

import contextlib
import http.client
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import regraft as package
from regraft.serve import server
from regraft.serve.app import application
from regraft.serve.hosted import Hosted, open_hosted
from regraft.serve.limits import Limits
from regraft.serve.metrics import Metrics
from regraft.utils.progress import Progress

USUAL = Limits()


class Answer(NamedTuple):
    status: int
    headers: Any
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


class Service(NamedTuple):
    """Where a service answers."""

    port: int

    def ask(self, method: str, target: str, body: bytes = b"", **headers: str) -> Answer:
        talk = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        talk.request(method, target, body or None, {name.replace("_", "-"): value for name, value in headers.items()})
        found = talk.getresponse()
        answer = Answer(found.status, found.headers, found.read())
        talk.close()
        return answer

    def post(self, target: str, *pictures: tuple[str, bytes], **headers: str) -> Answer:
        return self.ask(
            "POST", target, self.form(*pictures), Content_Type="multipart/form-data; boundary=edge", **headers
        )

    @staticmethod
    def form(*pictures: tuple[str, bytes]) -> bytes:
        head = '--edge\r\nContent-Disposition: form-data; name="files"; filename="{}"\r\n\r\n'
        return b"".join(head.format(name).encode() + content + b"\r\n" for name, content in pictures) + b"--edge--\r\n"


@contextlib.contextmanager
def started(hosted: dict[str, Hosted], limits: Limits = USUAL, token: str | None = None) -> Iterator[Service]:
    """Answer on a port of this machine as long as the block runs."""
    with server._listening(server.Address(port=0)) as listening:
        listening.listen()
        serves = server._server(application(hosted, limits, Metrics(), token, local=True), limits)
        thread = threading.Thread(target=serves.run, args=([listening],))
        thread.start()
        try:
            yield Service(listening.getsockname()[1])
        finally:
            serves.should_exit = True
            thread.join()


@pytest.fixture(scope="session")
def serving() -> Callable[..., Any]:
    """Return what answers on a port of this machine as long as a block runs."""
    return started


@pytest.fixture(scope="module")
def exports(small_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return package.export(small_run, out=tmp_path_factory.mktemp("exports") / "model.onnx").file


@pytest.fixture(scope="module")
def hosted(small_run: Path, exports: Path) -> Iterator[dict[str, Hosted]]:
    found = open_hosted([str(small_run), str(exports)], {}, Limits(waiting=8), lambda name, size: None, Progress())
    yield found
    for one in found.values():
        one.close()


@pytest.fixture(scope="module")
def service(hosted: dict[str, Hosted]) -> Iterator[Service]:
    with started(hosted, Limits(megabytes=1, pictures=4, waiting=8)) as found:
        yield found


@pytest.fixture(scope="module")
def pictures(shapes: Path) -> list[Path]:
    return sorted(shapes.rglob("*.png"))[::25]
