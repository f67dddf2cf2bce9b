"""The page of a comparison fits a phone, calls no tie a winner, and has each row's mistakes one click away."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import regraft
from regraft.reports.comparison_page import comparison_page
from regraft.reports.comparison_report import Findings, Row, name_of
from regraft.reports.row_details import PICTURES, details_of


@pytest.fixture(scope="module")
def compared(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A comparison of two methods; read only."""
    place = tmp_path_factory.mktemp("compared") / "both"
    settings: dict[str, Any] = {"backbones": ["tf_efficientnet_lite0"], "methods": ["frozen", "features"]}
    return regraft.compare(shapes, **settings, img_size=64, epochs=1, control_epochs=0, out=place)


@pytest.mark.parametrize("width", [390, 1400])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_scrolls_sideways(opened: Callable[..., Any], compared: Any, width: int, scheme: str) -> None:
    page = opened(compared.folder / "comparison.html", width, scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    tables = (
        "[...document.querySelectorAll('.wide')].filter(e => e.clientWidth).map(e => e.scrollWidth - e.clientWidth)"
    )
    assert max(page.evaluate(tables)) <= 0
    columns = page.locator("table").first.locator("th:visible").count()
    assert columns == (5 if width == 390 else 12)


def test_a_rows_matrix_and_pictures_are_one_click_away(opened: Callable[..., Any], compared: Any) -> None:
    page = opened(compared.folder / "comparison.html", 390)
    assert page.locator("#row-2 svg").is_hidden()
    page.locator("td a").nth(1).click()
    page.locator("#row-2 svg").wait_for(state="visible")
    found = details_of(Path(compared.findings.done[1].run))
    assert found is not None
    assert page.locator("#row-2 img").count() == len(found.pictures) == PICTURES
    assert page.locator("#row-1 svg").is_hidden()


def test_a_row_whose_run_has_gone_or_is_damaged_has_no_details(tmp_path: Path) -> None:
    assert details_of(tmp_path) is None
    (tmp_path / "metrics.json").write_text("{")
    assert details_of(tmp_path) is None


def page_of(**right: int) -> str:
    """A page of rows that have so many of 100 pictures right."""
    rows = []
    for name, count in right.items():
        test = {"accuracy": count / 100, "accuracy_ci": [None, None]}
        rows.append(Row(name, "frozen", "ok", n_test=100, predict_ms=count, test=test))
    return comparison_page(Findings.of(rows, {name_of(row): np.arange(100) < 100 * row.accuracy for row in rows}))


def test_ties_are_drawn_as_ties() -> None:
    tie, clear = page_of(a=95, b=94, c=93), page_of(a=95, b=50)
    assert "<h1>A tie of 3: a, frozen has 95.0 % of 100 test pictures right, and 2 more" in tie
    assert 'class="best"' not in tie
    assert re.findall(r'<td class="text remark">(.*?)</td>', tie) == ["tie"] * 3
    assert "None is filled" in tie
    assert 'class="best"' in clear
    assert re.findall(r'<td class="text remark">(.*?)</td>', clear) == ["best, best for its time", "best for its time"]


def test_a_matrix_that_tells_nothing_apart_is_one_sentence() -> None:
    tie, clear = page_of(a=95, b=94, c=93), page_of(a=95, b=50)
    assert "no two rows can be told apart on these test pictures. The smallest p-value is 1.00" in tie
    assert "Table of p-values" not in tie
    assert "<li>1 a-frozen: told from 2</li>" in clear
    assert "Table of p-values" in clear


def test_where_nothing_can_be_told_no_quickest_is_recommended_and_short_times_are_told_apart() -> None:
    rows = [
        Row(name, "frozen", "ok", predict_ms=ms, test={"accuracy": right, "accuracy_ci": [None, None]})
        for name, ms, right in (("a", 0.84, 0.95), ("b", 0.46, 0.94))
    ]
    hits = {name_of(row): np.arange(100) < 100 * row.accuracy for row in rows}
    found = Findings.of(rows, hits)
    assert "b with frozen predicts quickest, 0.5 ms against 0.8 ms" in found.advice()
    assert "quickest" not in replace(found, groups=3).advice()
