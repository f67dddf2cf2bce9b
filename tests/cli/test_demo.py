"""The demo shows what figures look like where there are enough patients to give them intervals."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from regraft.cli.demo import demo
from regraft.metrics.intervals import ENOUGH_GROUPS
from regraft.utils.progress import Progress


class Warned(Progress):
    """Keeps what it is warned of."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def warn(self, text: str) -> None:
        self.said.append(text)


def test_the_demo_tests_so_many_patients_that_its_accuracy_has_an_interval_for_others(tmp_path: Path) -> None:
    heard = Warned()
    run, rows = demo(tmp_path, difficulty=1.0, per_class=80, seed=0, progress=heard)
    assert run.test.groups == ENOUGH_GROUPS
    assert not [said for said in heard.said if "groups were tested" in said or "groups will be tested" in said]
    low, high = run.test.intervals["accuracy"]
    assert low <= run.test.values["accuracy"] <= high
    assert not np.isnan([low, high]).any()
    assert len(rows) == 4
    assert (run.folder / "report.html").exists()
