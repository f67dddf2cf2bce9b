"""The service answers over real sockets as `regraft predict` does, and refuses in words what it cannot answer."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from PIL import Image

import regraft as package
from regraft.inference import exported
from regraft.serve.batching import Batcher, Full
from regraft.serve.hosted import Hosted
from regraft.serve.limits import Limits
from regraft.utils.progress import Progress

BENCHMARK = Path(__file__).resolve().parents[2] / "benchmarks" / "malformed_requests.py"


def png(*size: int) -> bytes:
    file = io.BytesIO()
    Image.new("L", size, 200).save(file, "PNG")
    return file.getvalue()


def sent(paths: list[Path]) -> list[tuple[str, bytes]]:
    return [(path.name, path.read_bytes()) for path in paths]


# what is answered


def test_the_service_predicts_as_the_command_does(service: Any, small_run: Path, pictures: list[Path]) -> None:
    answer = service.post("/predict?top=4", *sent(pictures))
    assert answer.status == 200, answer.text
    rows = package.predict(small_run, pictures, top=4)
    said = json.loads(answer.body)
    top = [one for picture in said["pictures"] for one in picture["top"]]
    assert [one["label"] for one in top] == [row["label"] for row in rows]
    assert [one["prob"] for one in top] == pytest.approx([row["prob"] for row in rows], abs=2e-6)
    assert [one["filename"] for one in said["pictures"]] == [path.name for path in pictures]


def test_an_exported_file_answers_beside_its_run(service: Any, hosted: dict[str, Hosted], pictures: list[Path]) -> None:
    names = [one["name"] for one in json.loads(service.ask("GET", "/models").body)["models"]]
    assert names == list(hosted)
    labels = [
        [one["label"] for one in json.loads(service.post(f"/predict?model={name}", *sent(pictures)).body)["pictures"]]
        for name in names
    ]
    assert labels[0] == labels[1]


def test_a_body_may_be_one_picture(service: Any, pictures: list[Path]) -> None:
    content = pictures[0].read_bytes()
    bare = json.loads(service.ask("POST", "/predict", content, Content_Type="image/png").body)
    assert bare["pictures"][0]["top"] == json.loads(service.post("/predict", ("a", content)).body)["pictures"][0]["top"]


def test_an_unsure_picture_gets_no_label(service: Any, pictures: list[Path]) -> None:
    (said,) = json.loads(service.post("/predict?abstain_below=1", *sent(pictures[:1])).body)["pictures"]
    assert (said["label"], said["abstained"]) == (None, True)
    assert said["prob"] == said["top"][0]["prob"]


def test_a_picture_that_cannot_be_read_has_its_reason_and_the_others_their_answer(
    service: Any, pictures: list[Path]
) -> None:
    whole = pictures[0].read_bytes()
    answer = service.post("/predict", ("cut.png", whole[:200]), ("whole.png", whole), ("../../../etc/passwd", b"root"))
    assert answer.status == 200
    cut, good, text = json.loads(answer.body)["pictures"]
    assert (cut["label"], cut["top"], cut["filename"]) == (None, [], "cut.png")
    assert "cut off" in cut["error"]
    assert good["label"]
    assert text["filename"] == "../../../etc/passwd"  # a name, and no path
    assert "not a picture" in text["error"]


def test_a_heat_map_stands_beside_what_the_network_sees(service: Any, pictures: list[Path]) -> None:
    answer = service.post("/explain?label=red", *sent(pictures[:1]))
    assert (answer.status, answer.headers["Content-Type"], answer.headers["X-Label"]) == (200, "image/png", "red")
    assert Image.open(io.BytesIO(answer.body)).size == (128, 64)


def test_what_the_service_says_of_itself(service: Any, pictures: list[Path]) -> None:
    service.post("/predict", *sent(pictures[:2]))
    figures = service.ask("GET", "/metrics").text
    assert re.search(r'regraft_requests_total\{path="/predict",status="200"\} [1-9]', figures)
    assert 'regraft_waiting_pictures{model="run"} 0.0' in figures
    assert re.search(r'regraft_pictures_total\{model="run",outcome="predicted"\} [1-9]', figures)
    assert (service.ask("GET", "/health").status, service.ask("GET", "/ready").status) == (200, 200)
    described = json.loads(service.ask("GET", "/openapi.json").body)
    assert {"/predict", "/explain", "/models", "/health", "/ready", "/metrics"} == set(described["paths"])


def test_every_answer_has_a_policy_that_lets_nothing_in_from_elsewhere(service: Any) -> None:
    for path in ("/", "/page.css", "/page.js", "/docs", "/docs.js", "/models", "/nothing"):
        answer = service.ask("GET", path)
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'none';")
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert not re.findall(r"(?:src|href)=\"(?:https?:)?//", answer.text)


# what is refused


@pytest.mark.parametrize(
    ("target", "pictures", "status", "said"),
    [
        ("/predict", [("a.png", png(20_000, 20_000))], 422, "a.png: 20000x20000 = 400 megapixels, more than 89"),
        ("/predict", [], 422, "No picture in this request. Expected a form with files"),
        ("/predict", [("a", b"")] * 5, 413, "More than the 4 pictures"),
        ("/predict", [("a", bytes(10**6))], 413, "1.0 MB, more than the 1 MB"),
        ("/predict?model=other", [("a", b"x")], 404, "Unknown model 'other'"),
        ("/predict?top=0", [("a", b"x")], 422, "top is '0'"),
        ("/predict?abstain_below=nan", [("a", b"x")], 422, "abstain_below is"),
        ("/explain?label=other", [("a", b"x")], 404, "Unknown class 'other'"),
        ("/explain", [("a", b"x"), ("b", b"x")], 413, "/explain takes one"),
        ("/nothing", [], 404, "There is no /nothing"),
        ("/health", [], 405, "POST is not for this"),
    ],
)
def test_what_cannot_be_answered_is_refused_in_one_line(
    service: Any, target: str, pictures: list[tuple[str, bytes]], status: int, said: str
) -> None:
    answer = service.post(target, *pictures)
    assert (answer.status, answer.headers["Content-Type"]) == (status, "text/plain; charset=utf-8")
    assert answer.text.startswith("Error: ")
    assert said in answer.text
    assert answer.text.count("\n") == 1


def test_an_exported_file_has_no_heat_maps(service: Any, hosted: dict[str, Hosted], pictures: list[Path]) -> None:
    answer = service.post(f"/explain?model={list(hosted)[1]}", *sent(pictures[:1]))
    assert (answer.status, "has no heat maps" in answer.text) == (422, True)


def test_a_name_of_another_site_that_points_here_is_refused(service: Any) -> None:
    assert service.ask("GET", "/models", Host="attacker.example").status == 421
    assert service.ask("GET", "/models", Host=f"localhost:{service.port}").status == 200


def test_a_token_is_asked_for_by_what_costs_and_by_nothing_else(
    serving: Callable[..., Any], hosted: dict[str, Hosted], pictures: list[Path]
) -> None:
    with serving(hosted, token="öffne") as guarded:
        assert [guarded.ask("GET", path).status for path in ("/health", "/ready", "/docs")] == [200, 200, 200]
        known, other = ("Bearer öffne".encode().decode("latin-1"), "Bearer other")
        for path in ("/predict", "/explain"):
            assert guarded.post(path, *sent(pictures[:1])).status == 401
            assert guarded.post(path, *sent(pictures[:1]), Authorization=other).status == 401
        assert guarded.ask("GET", "/metrics").headers["WWW-Authenticate"] == "Bearer"
        assert guarded.post("/predict", *sent(pictures[:1]), Authorization=known).status == 200


def test_who_is_slow_is_told_so_and_others_are_answered(
    serving: Callable[..., Any], hosted: dict[str, Hosted], pictures: list[Path]
) -> None:
    with (
        serving(hosted, Limits(seconds=1)) as impatient,
        socket.create_connection(("127.0.0.1", impatient.port), 60) as silent,
        socket.create_connection(("127.0.0.1", impatient.port), 60) as slow,
    ):
        slow.sendall(
            b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\nContent-Type: image/png\r\n\r\nx"
        )
        assert impatient.ask("GET", "/health").status == 200
        assert slow.recv(1000).startswith(b"HTTP/1.1 408")
        assert silent.recv(1000).startswith(b"HTTP/1.1 408")


def test_broken_requests_are_refused_and_good_ones_behind_them_answered(service: Any, broken: ModuleType) -> None:
    found = broken.try_all(("127.0.0.1", service.port), 330, seed=1)
    assert found.faults == []
    assert found.tried == 330
    assert sum(found.statuses.values()) > 200


@pytest.fixture(scope="module")
def broken() -> ModuleType:
    spec = importlib.util.spec_from_file_location("malformed_requests", BENCHMARK)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


# many at once


class Held:
    """Answers as a model does, once it is let."""

    def __init__(self, answer: Any) -> None:
        self.answer, self.sizes = answer, list[int]()
        self.begun, self.go_on = threading.Event(), threading.Event()

    def __call__(self, contents: Any) -> Any:
        self.sizes.append(len(contents))
        self.begun.set()
        self.go_on.wait(60)
        return self.answer(contents)


@pytest.fixture
def held(hosted: dict[str, Hosted]) -> Held:
    return Held(hosted["run"].answering.of_contents())


def test_what_waits_is_run_together_and_a_full_queue_says_when_to_come_again(
    serving: Callable[..., Any], hosted: dict[str, Hosted], held: Held, pictures: list[Path]
) -> None:
    batches = Batcher(held, most=4, at_once=4)
    one = {"run": replace(hosted["run"], batches=batches)}
    with serving(one) as busy:
        answers: list[Any] = []
        ask = lambda count: answers.append(busy.post("/predict", *sent(pictures[:1] * count)))  # noqa: E731
        first = threading.Thread(target=ask, args=(1,))
        first.start()
        assert held.begun.wait(60)
        others = [threading.Thread(target=ask, args=(2,)) for _ in range(2)]
        for other in others:
            other.start()
        while batches.waiting < 4:
            threading.Event().wait(0.01)
        refused, ready = busy.post("/predict", *sent(pictures[:1])), busy.ask("GET", "/ready")
        held.go_on.set()
        for thread in (first, *others):
            thread.join()
    batches.close()
    assert (refused.status, refused.headers["Retry-After"], ready.status) == (503, "1", 503)
    assert [answer.status for answer in answers] == [200, 200, 200]
    assert held.sizes == [1, 4]


def test_a_picture_that_nobody_waits_for_any_more_is_left_out(held: Held, pictures: list[Path]) -> None:
    batches, content = Batcher(held, most=4, at_once=4), pictures[0].read_bytes()
    (first,) = batches.submit([content])
    assert held.begun.wait(60)
    given_up, wanted = batches.submit([content, content])
    given_up.cancel()
    with pytest.raises(Full):
        batches.submit([content] * 4)
    held.go_on.set()
    batches.close()
    assert first.result().label == wanted.result().label
    assert held.sizes == [1, 1]


def test_a_batch_that_fails_is_told_to_those_who_asked_and_the_next_one_is_run() -> None:
    def answer(contents: Any) -> Any:
        return iter(contents) if contents[0] == b"good" else 1 / 0

    batches = Batcher(answer, most=4, at_once=4)
    with pytest.raises(ZeroDivisionError):
        batches.submit([b"bad"])[0].result(60)
    assert batches.submit([b"good"])[0].result(60) == b"good"
    batches.close()


# the command


@pytest.fixture
def command(small_run: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []

    def start(*options: str) -> subprocess.Popen[str]:
        words = [sys.executable, "-m", "regraft", "serve", str(small_run), "--device", "cpu", "--port", "0", *options]
        started.append(subprocess.Popen(words, stderr=subprocess.PIPE, text=True, env=os.environ))
        return started[-1]

    yield start
    for one in started:
        one.kill()
        one.wait()


def test_sigterm_lets_what_is_in_flight_be_answered(
    command: Callable[..., subprocess.Popen[str]], service: Any, pictures: list[Path]
) -> None:
    process = command()
    assert process.stderr
    port = next(int(at[1]) for line in process.stderr if (at := re.search(r"http://127\.0\.0\.1:(\d+)", line)))
    body = service.form(*sent(pictures))
    head = f"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
    with socket.create_connection(("127.0.0.1", port), 60) as talk:
        talk.sendall(head.encode() + b"Content-Type: multipart/form-data; boundary=edge\r\n\r\n" + body[:-1])
        service._replace(port=port).ask("GET", "/health")  # the head before it has been read
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(ConnectionError):
            while True:  # until nobody is let in any more
                socket.create_connection(("127.0.0.1", port), 60).close()
        talk.sendall(body[-1:])
        answer = b"".join(iter(lambda: talk.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert answer.count(b'"filename"') == len(pictures)
    assert process.wait(60) == 143
    assert "Traceback" not in process.stderr.read()


def test_a_port_that_is_taken_is_refused_in_words(regraft: Callable[..., Any], small_run: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        answer = regraft("serve", small_run, "--port", taken.getsockname()[1])
    assert answer.status == 1
    assert "Address already in use" in answer.err


def test_a_model_that_is_not_there_is_refused_before_anything_is_loaded(regraft: Callable[..., Any]) -> None:
    answer = regraft("serve", "runs/nowhere")
    assert (answer.status, "There is no folder runs/nowhere" in answer.err) == (1, True)


def test_the_service_predicts_without_torch(small_run: Path, exports: Path) -> None:
    assert exported.kept(small_run, Progress()) is not None
    script = f"""
import sys
from regraft.serve.hosted import open_hosted
from regraft.serve.limits import Limits
from regraft.utils.progress import Progress
open_hosted([{str(small_run)!r}, {str(exports)!r}], {{"device": "cpu"}}, Limits(), lambda *said: None, Progress())
print([name for name in ("torch", "timm", "sklearn", "matplotlib") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=os.environ)
    assert done.stdout.strip() == "[]"
