"""What tests share: drawn pictures, a cache of their own, real weights and pictures where they are at hand."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.request import install_opener

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from PIL import Image, ImageDraw

# how fast a machine draws its examples is no truth about the code
settings.register_profile("regraft", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("regraft")

SHARED = Path(__file__).resolve().parents[2] / "shared"

os.environ.setdefault("OMP_NUM_THREADS", "1")  # the suite runs in as many processes as there are cores
# a suite that a shell has started in the background ignores Ctrl-C, and so would every process that it starts
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep activations in a folder of the test session, and look for weights where no user's folder interferes."""
    os.environ["REGRAFT_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    os.environ["REGRAFT_HOME"] = str(tmp_path_factory.mktemp("home"))
    os.environ.pop("REGRAFT_WEIGHTS", None)


@pytest.fixture(autouse=True, scope="module")
def _networks_go_with_their_file(request: pytest.FixtureRequest) -> Iterator[None]:
    """Let go of what a file of tests built once for all of its tests: the networks of all of them take gigabytes."""
    yield
    for thing in vars(request.module).values():
        if hasattr(thing, "cache_clear") and thing.__module__ == request.module.__name__:
            thing.cache_clear()


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real weights and pictures beside the project."""
    if not SHARED.is_dir():
        pytest.skip("../shared with real weights and pictures is not at hand")
    return SHARED


COLOURS = {"blue": (40, 60, 220), "green": (30, 170, 60), "red": (210, 40, 40), "yellow": (230, 210, 40)}


def draw_shapes(folder: Path, per_class: int = 20, size: int = 72, seed: int = 0) -> Path:
    """Draw FOLDER/<colour>/*.png: a disc or square of that colour at a random place on grey noise."""
    rng = np.random.default_rng(seed)
    for colour, rgb in COLOURS.items():
        (folder / colour).mkdir(parents=True)
        for number in range(per_class):
            image = Image.fromarray(rng.integers(90, 160, (size, size, 3), dtype=np.uint8))
            x, y = rng.integers(0, size // 5, 2).tolist()
            draw = ImageDraw.Draw(image)
            shape = draw.ellipse if number % 2 else draw.rectangle
            shape((x, y, x + 4 * size // 5, y + 4 * size // 5), fill=rgb)
            image.save(folder / colour / f"{colour}{number}.png")
    return folder


@pytest.fixture(scope="session")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four colours, twenty pictures each; read only."""
    return draw_shapes(tmp_path_factory.mktemp("data") / "shapes")


@pytest.fixture
def drawn(tmp_path: Path) -> Path:
    """Eight other pictures of each colour, to be changed at will."""
    return draw_shapes(tmp_path / "drawn", per_class=8, seed=5)


BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A real headless Chromium; playwright runs once in a process, so that all tests share it."""
    driver = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install '.[dev]'")
    path = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if path is None:
        pytest.skip("no Chromium on this machine; on Debian: apt install chromium")
    with driver.sync_playwright() as driven:
        started = driven.chromium.launch(executable_path=path)
        yield started
        started.close()


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk with room for 64 kB."""
    place = tmp_path / "disk"
    place.mkdir()
    try:
        mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)]
        mounted = subprocess.run(mount, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("this system has no mount")
    if mounted.returncode:
        pytest.skip(f"no small disk can be mounted here: {mounted.stderr.strip()}")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No network, nothing imported and empty caches, in the returned folder; nobody answers at the proxy."""
    from huggingface_hub import constants

    for name in ("REGRAFT_WEIGHTS", "no_proxy", "NO_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("REGRAFT_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    install_opener(None)  # urllib keeps the proxies of its first call
    return tmp_path


# the command line


class Answer(NamedTuple):
    """What a command gave back."""

    status: int
    out: str
    err: str


@pytest.fixture
def regraft(capsys: pytest.CaptureFixture[str]) -> Callable[..., Answer]:
    """Run a command line in this process, as the installed script does."""
    from regraft.cli.commands import main

    def run(*arguments: object) -> Answer:
        capsys.readouterr()
        try:
            main([str(argument) for argument in arguments])
            status = 0
        except SystemExit as end:
            status = int(end.code or 0)
        return Answer(status, *capsys.readouterr())

    return run


@pytest.fixture(scope="session")
def small_run(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on the shapes, too short to be good; read only."""
    from regraft.experiments.train import train as train_run

    return train_run(shapes, out=tmp_path_factory.mktemp("small") / "run", img_size=64, epochs=2).folder
