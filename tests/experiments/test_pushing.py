"""A model goes to a hub and comes back the same: over real sockets, to a server with the calls of the hub's client."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
import yaml

import regraft as package
from regraft.errors import ChecksumMismatch, ConfigError, ModelMissing, RunError

SHA = "1" * 40
TOKEN = "hf_" + "secret" * 5


class Hub(ThreadingHTTPServer):
    """Keeps repositories in memory, by user/name; only TOKEN may write."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Calls)
        self.repositories = dict[str, dict[str, bytes]]()
        self.private = dict[str, bool]()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Calls(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None: ...

    def answer(self, value: Any, status: int = 200, **headers: str) -> None:
        content = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        kind = "application/octet-stream" if isinstance(value, bytes) else "application/json"
        for name, text in {"Content-Type": kind, "Content-Length": str(len(content)), **headers}.items():
            self.send_header(name.replace("_", "-"), text)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path.endswith("/validate-yaml"):
            self.answer({"errors": [], "warnings": []})
        elif self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self.answer({"error": f"no: {self.headers.get('Authorization')}"}, 401)
        elif self.path == "/api/repos/create":
            self.create(json.loads(body))
        elif "/preupload/" in self.path:
            names = [one["path"] for one in json.loads(body)["files"]]
            kept = [{"path": name, "uploadMode": "regular", "shouldIgnore": False} for name in names]
            self.answer({"files": kept})
        elif found := re.match(r"/api/models/([\w-]+/[\w-]+)/commit/main", self.path):
            self.commit(found[1], [json.loads(line) for line in body.splitlines()])
        else:
            self.answer({"error": self.path}, 404)

    def create(self, asked: dict[str, Any]) -> None:
        name = f"{asked.get('organization') or 'me'}/{asked['name']}"
        self.server.repositories.setdefault(name, {})
        self.server.private[name] = bool(asked.get("private", asked.get("visibility") == "private"))
        self.answer({"url": f"{self.server.url}/{name}", "id": "1", "name": name})

    def commit(self, name: str, lines: list[dict[str, Any]]) -> None:
        for line in lines:
            if line["key"] == "file":
                self.server.repositories[name][line["value"]["path"]] = base64.b64decode(line["value"]["content"])
        self.answer({"success": True, "commitOid": SHA, "commitUrl": f"{self.server.url}/{name}/commit/{SHA}"})

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        found = re.match(r"/(?:api/models/)?([\w-]+/[\w-]+)(?:/(revision|tree|resolve)/[\w%-]+)?/?([^?]*)", self.path)
        files = self.server.repositories.get(found[1]) if found else None
        if found is None or files is None:
            self.answer({"error": "Repository not found"}, 404, X_Error_Code="RepoNotFound")
        elif found[2] == "tree":
            self.answer([entry(name, content) for name, content in files.items()])
        elif found[2] == "resolve":
            etag = f'"{digest(files[found[3]])}"'
            self.answer(files[found[3]], ETag=etag, X_Repo_Commit=SHA, Accept_Ranges="bytes")
        else:
            self.answer({"id": found[1], "sha": SHA, "siblings": [{"rfilename": name} for name in files]})


def digest(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def entry(name: str, content: bytes) -> dict[str, Any]:
    return {"type": "file", "path": name, "size": len(content), "oid": digest(content)}


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub on this machine, a token for it, and an empty cache."""
    from huggingface_hub import constants

    with Hub() as server:
        Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        template = server.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield server
        server.shutdown()


@pytest.fixture(scope="module")
def folder(small_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is pushed, in a folder; read only."""
    return Path(package.push(small_run, tmp_path_factory.mktemp("pushed") / "cells").to)


def test_a_model_is_pushed_and_loaded_again(
    regraft: Callable[..., Any], small_run: Path, shapes: Path, tmp_path: Path, served: Hub
) -> None:
    """By a stranger's process, from HF_ENDPOINT alone; and another model starts from it."""
    done = regraft("push", small_run, "hf://me/cells", "--json")
    assert done.status == 0, done.err
    assert json.loads(done.out)["url"] == f"{served.url}/me/cells"
    assert served.private == {"me/cells": True}
    assert sorted(served.repositories["me/cells"]) == ["README.md", "bundle.json", "config.json", "model.safetensors"]

    pictures = sorted(shapes.rglob("*.png"))[:6]
    own, back = (package.predict(package.load(one), pictures).probabilities for one in (small_run, "hf://me/cells"))
    np.testing.assert_array_equal(own, back)
    again = package.train(
        shapes, from_run="hf://me/cells", method="features", img_size=64, report=False, out=tmp_path / "more"
    )
    about = json.loads((again.folder / "model/bundle.json").read_text())
    assert about["lineage"][-1]["run"] == "hf://me/cells"

    elsewhere = {**os.environ, "HF_ENDPOINT": served.url, "HF_HOME": str(tmp_path / "home")}
    elsewhere.pop("HF_TOKEN")
    words = [sys.executable, "-m", "regraft", "predict", "hf://me/cells", str(pictures[0]), "--json"]
    told = subprocess.run(words, capture_output=True, text=True, env=elsewhere)
    assert told.returncode == 0, told.stderr
    assert json.loads(told.stdout)["rows"][0]["prob"] == pytest.approx(float(own[0].max()), abs=1e-4)


def test_a_damaged_download_is_refused(small_run: Path, served: Hub) -> None:
    package.push(small_run, "hf://me/hurt")
    files = served.repositories["me/hurt"]
    last = files["model.safetensors"][-1]
    files["model.safetensors"] = files["model.safetensors"][:-1] + bytes([last ^ 1])
    with pytest.raises(ChecksumMismatch, match="not as it was written"):
        package.load("hf://me/hurt")


def test_a_token_is_never_told(small_run: Path, served: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """Although this hub's answer quotes it."""
    wrong = "hf_" + "wrong" * 6
    monkeypatch.setenv("HF_TOKEN", wrong)
    with pytest.raises(ConfigError, match=r"token is missing or not accepted.*regraft push RUN FOLDER") as told:
        package.push(small_run, "hf://me/cells")
    assert wrong not in str(told.value)
    assert told.value.__cause__ is None
    assert served.repositories == {}


def test_what_is_not_there_and_offline_say_what_to_do(
    regraft: Callable[..., Any], small_run: Path, shapes: Path, served: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ModelMissing, match="no such model there"):
        package.load("hf://me/nothing")
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    told = regraft("predict", "hf://me/away", next(shapes.rglob("*.png")))
    assert told.status == 1
    assert "Put bundle.json and model.safetensors of http://127.0.0.1:9/me/away into a folder" in told.err
    assert "Connection refused" in told.err
    assert "could not be written: the hub does not answer" in regraft("push", small_run, "hf://me/away").err
    assert "hf://user/name" in regraft("predict", "hf://me", next(shapes.rglob("*.png"))).err


def test_a_folder_holds_the_same_and_predicts(folder: Path, small_run: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == [
        "README.md",
        "bundle.json",
        "config.json",
        "model.safetensors",
    ]
    assert (folder / "bundle.json").read_bytes() == (small_run / "model/bundle.json").read_bytes()
    labels = json.loads((folder / "config.json").read_text())
    assert labels["id2label"] == {"0": "blue", "1": "green", "2": "red", "3": "yellow"}
    assert labels["label2id"]["yellow"] == 3
    assert package.load(folder).classes == ("blue", "green", "red", "yellow")
    with pytest.raises(ConfigError, match="is there already"):
        package.push(small_run, folder)


def test_the_card_says_what_the_run_measured(folder: Path, small_run: Path) -> None:
    _, head, text = (folder / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    said, measured = yaml.safe_load(head), json.loads((small_run / "metrics.json").read_text())
    assert said["license"] == "apache-2.0"
    assert (said["pipeline_tag"], said["library_name"], said["datasets"]) == (
        "image-classification",
        "regraft",
        ["shapes"],
    )
    assert said["tags"][-1] == measured["backbone"]
    assert "accuracy" in said["metrics"]
    assert f"| accuracy | {measured['test']['accuracy']:.3f} |" in text
    assert f"On {measured['n_test']} test pictures" in text
    assert "blue, green, red, yellow" in text
    assert str(small_run.parent) not in text


def test_what_cannot_be_pushed_is_refused(tmp_path: Path, shapes: Path) -> None:
    with pytest.raises(ModelMissing):
        package.push(shapes, tmp_path / "out")
    with pytest.raises(ConfigError, match="no address of a model"):
        package.push(_bare(tmp_path), "hf://only")
    about = {"format": 1, "sha256": "0" * 64, "unfinished": {"phase": "head", "epochs": 1, "of": 2}}
    (tmp_path / "bare/bundle.json").write_text(json.dumps(about))
    with pytest.raises(RunError, match="unfinished"):
        package.push(tmp_path / "bare", tmp_path / "out")


def _bare(folder: Path) -> Path:
    (folder / "bare").mkdir()
    (folder / "bare/bundle.json").write_text(json.dumps({"format": 1, "sha256": "0" * 64}))
    return folder / "bare"
