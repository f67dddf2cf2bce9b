"""Type checkers see what a user writes: every public name by its type, and every mistake."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import regraft

HERE = Path(__file__).parent
PROJECT = HERE.parent
USES = (HERE / "typing/uses.py").read_text(encoding="utf-8")
PLANTED = (HERE / "typing/misuses.py").read_text(encoding="utf-8")
RESULTS = (
    "Check",
    "Comparison",
    "Evaluation",
    "Explanation",
    "Features",
    "Predictions",
    "PredictionsFile",
    "Recommendation",
    "Run",
)


@pytest.mark.parametrize("name", regraft.__all__)
def test_the_script_of_a_user_touches_every_public_name(name: str) -> None:
    assert re.search(rf"regraft\.{name}\b", USES)


@pytest.mark.parametrize("name", RESULTS)
def test_the_script_of_a_user_touches_all_that_a_result_holds(name: str) -> None:
    result = getattr(regraft, name)
    own = {known for kind in result.__mro__ if kind.__module__.startswith("regraft.") for known in vars(kind)}
    public = {
        known for known in own | {field.name for field in dataclasses.fields(result)} if not known.startswith("_")
    }
    assert {known for known in public if not re.search(rf"\.{known}\b", USES)} <= {"as_dict"}  # what --json prints


def _of_mypy(said: str) -> set[int]:
    return {found["line"] for found in map(json.loads, said.splitlines()) if found["severity"] == "error"}


def _of_pyright(said: str) -> set[int]:
    """Without those that only say that a type is not known: they follow from what is wrong."""
    found = json.loads(said)["generalDiagnostics"]
    return {one["range"]["start"]["line"] + 1 for one in found if "Unknown" not in one["rule"]}


CHECKERS = {
    "mypy": (("--strict", "--output", "json"), _of_mypy),
    "basedpyright": (("--pythonpath", sys.executable, "--outputjson"), _of_pyright),
}


@pytest.mark.parametrize("checker", CHECKERS)
def test_every_planted_mistake_is_found(checker: str, tmp_path: Path) -> None:
    """By mypy and by pyright; without a comment that would say to pass over it."""
    options, lines_of = CHECKERS[checker]
    file = tmp_path / "planted.py"
    file.write_text(re.sub("  # type: ignore.*", "", PLANTED), encoding="utf-8")
    command = [sys.executable, "-m", checker, *options, str(file)]
    said = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=300).stdout
    planted = {number for number, line in enumerate(PLANTED.splitlines(), 1) if "# type: ignore" in line}
    assert len(planted) >= 10
    assert lines_of(said) == planted
