"""What the pages tell people to type: every block of Python runs, every command is one that Regraft reads."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from shutil import copyfile, copytree

import pytest
import typer

import regraft as package
from regraft.cli.commands import app
from regraft.data import draw_cells

ROOT = Path(__file__).resolve().parents[2]
PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    "benchmarks/README.md",
    *(f"docs/{p.name}" for p in (ROOT / "docs").glob("*.md")),
)
LANGUAGES = {"python", "console", "text"}
CHEAP = {"models", "weights list", "predict", "eval", "explain", "report"}
NEEDS_NETWORK = re.compile(r"hf://|resnet50|REGRAFT_WEIGHTS|weights (pull|import)")

TOGETHER = pytest.mark.xdist_group("pages")  # in one process, which makes their pictures and their run once


def blocks(page: str) -> list[tuple[int, str, str]]:
    """Return the line, the language and the text of every fenced block."""
    text = (ROOT / page).read_text(encoding="utf-8")
    found = re.finditer(r"^```([\w-]*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [(text.count("\n", 0, block.start()) + 1, block[1], block[2]) for block in found]


def commands(text: str) -> list[list[str]]:
    """Return the words of every `regraft` command; what is no command is what one has printed."""
    lines = re.findall(r"^(?:[A-Z_]+=\S+ )*regraft (.+)$", text.replace("\\\n", " "), re.MULTILINE)
    return [shlex.split(line, comments=True) for line in lines]


def of_language(wanted: str) -> list[pytest.param]:
    """Return every block in a language, called by its page and line."""
    return [
        pytest.param(text, id=f"{page}:{line}")
        for page in sorted(PAGES)
        for line, language, text in blocks(page)
        if language == wanted
    ]


COMMANDS = {
    shlex.join(words): words
    for page in sorted(PAGES)
    for _, language, text in blocks(page)
    if language == "console"
    for words in commands(text)
}


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the names that the pages use: cells by patient, a run, new pictures; nothing in it is changed."""
    folder = tmp_path_factory.mktemp("docs")
    cells = draw_cells(folder / "drawn", per_class=24, patients=8, size=64, difficulty=0.0)
    for picture in sorted(cells.rglob("*.png")):
        for place in ("cells", "more_labelled_cells"):
            copy = folder / place / picture.parent.name / f"C{picture.name[1:]}"
            copy.parent.mkdir(parents=True, exist_ok=True)
            copyfile(picture, copy)
    (folder / "new_pictures").mkdir()
    for number, name in enumerate(
        ("new.png", "a.png", "b.png", "elephant.jpg", "new_pictures/1.png", "new_pictures/2.png")
    ):
        copyfile(sorted(cells.rglob("*.png"))[number], folder / name)
    (folder / "slides.csv").write_text("path\nnew_pictures/1.png\nnew_pictures/2.png\n")
    package.train(folder / "cells", out=folder / "runs" / "cells", method="features", groups=r"^C\d+")
    package.export(folder / "runs" / "cells", out=folder / "exports" / "cells" / "model.onnx")
    return folder


@pytest.fixture
def at_bench(bench: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, which is the working directory."""
    folder = copytree(bench, tmp_path / "bench")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))  # only the network that comes with the installation is here
    return folder


def test_every_block_says_what_it_is():
    unknown = [f"{page}:{line}" for page in PAGES for line, language, _ in blocks(page) if language not in LANGUAGES]
    assert not unknown


@TOGETHER
@pytest.mark.parametrize("code", of_language("python"))
def test_python_runs(code: str, at_bench: Path):
    exec(compile(code, "page", "exec"), {})


@pytest.mark.parametrize("words", COMMANDS.values(), ids=COMMANDS)
def test_commands_are_read(words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "runs" / "cells").mkdir(parents=True)
    (tmp_path / "runs" / "cells" / "config.json").write_text('{"data": "cells"}')  # --config reads where the data are
    monkeypatch.chdir(tmp_path)
    group = typer.main.get_command(app)
    context = group.make_context("regraft", list(words))
    while isinstance(group, typer.core.TyperGroup):
        name, group, words = group.resolve_command(context, words)
        context = group.make_context(name, list(words), parent=context)
        words = [*context._protected_args, *context.args] if isinstance(group, typer.core.TyperGroup) else []


@TOGETHER
@pytest.mark.parametrize(
    "line", [line for line in COMMANDS if line.startswith(tuple(CHEAP)) and not NEEDS_NETWORK.search(line)]
)
def test_cheap_commands_run(line: str, at_bench: Path, regraft: Callable[..., object]):
    answer = regraft(*COMMANDS[line])
    assert answer.status == 0, answer.err


def test_what_make_and_python_are_to_run_is_there():
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    told = "\n".join((ROOT / page).read_text(encoding="utf-8") for page in PAGES)
    assert set(re.findall(r"(?:^|`)make ([a-z]+)", told, re.MULTILINE)) <= targets
    missing = [
        path for path in re.findall(r"python ((?:docs|tools|benchmarks)/\w+\.py)", told) if not (ROOT / path).exists()
    ]
    assert not missing
