"""Whatever happens to a file that is read back: one clear line, or it is healed. The long form is a benchmark."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

TRIES = 50  # two of each kind of file


@pytest.fixture(scope="module")
def damaged_files() -> ModuleType:
    path = Path(__file__).parents[1] / "benchmarks" / "damaged_files.py"
    spec = importlib.util.spec_from_file_location("damaged_files", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["damaged_files"] = module  # its dataclasses look for their module
    spec.loader.exec_module(module)
    return module


def test_damaged_and_hostile_files_are_refused_in_one_line_or_healed(damaged_files: ModuleType) -> None:
    outcomes = damaged_files.run(TRIES, seed=0)
    assert [(one.target, one.seed, one.said) for one in outcomes if one.kind == "wrong"] == []
    kinds = {one.kind for one in outcomes}
    assert kinds == {"refused", "read", "healed"}
    assert sum(one.kind == "refused" for one in outcomes) > TRIES // 2
