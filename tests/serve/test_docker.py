"""The image answers without root and on a read-only file system; it is built wherever there is a Docker that works."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
READY_S = 300.0


def docker(*words: str) -> str:
    return subprocess.run(["docker", *words], capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture(scope="module")
def image() -> str:
    if shutil.which("docker") is None:
        pytest.skip("there is no docker here")
    asked = subprocess.run(["docker", "info"], capture_output=True, text=True)
    if asked.returncode:
        pytest.skip(f"docker does not work here: {asked.stderr.strip().splitlines()[-1]}")
    return docker("build", "--quiet", str(ROOT))


def test_the_image_answers_without_root_and_without_a_disk_to_write_on(
    image: str, exports: Path, pictures: list[Path]
) -> None:
    held = ("--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--security-opt", "no-new-privileges")
    mounted = ("-v", f"{exports}:/model.onnx:ro", "-p", "127.0.0.1::8000")
    container = docker("run", "--detach", *held, *mounted, image, "/model.onnx")
    try:
        assert docker("exec", container, "id", "-u") == "10001"
        address = f"http://{docker('port', container, '8000/tcp').splitlines()[0]}"
        wait_for(f"{address}/ready", container)
        request = urllib.request.Request(f"{address}/predict", pictures[0].read_bytes(), {"Content-Type": "image/png"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            assert json.load(answer)["pictures"][0]["label"]
        docker("stop", container)
        assert docker("inspect", "--format", "{{.State.ExitCode}}", container) == "143"
    finally:
        docker("rm", "--force", container)


def wait_for(address: str, container: str) -> None:
    """Return when an address answers."""
    until = time.monotonic() + READY_S
    while time.monotonic() < until:
        try:
            urllib.request.urlopen(address, timeout=5).close()
            return
        except (OSError, urllib.error.URLError):
            assert docker("inspect", "--format", "{{.State.Running}}", container) == "true", docker("logs", container)
    raise AssertionError(f"no answer within {READY_S:g} s")
