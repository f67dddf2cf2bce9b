"""The pages that are shown: small, whole, and of no place but the project."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

GALLERY = Path(__file__).resolve().parents[2] / "docs" / "gallery"
PAGES = ("check.html", "comparison.html", "run.html")


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_small_and_names_no_machine(name: str):
    text = (GALLERY / name).read_text(encoding="utf-8")
    assert text.rstrip().endswith("</html>")
    assert len(text.encode()) <= 300_000
    assert not re.findall(r"""(?:src|href)=["'](?:https?:)?//[^"']*|/(?:tmp|home|root|work)/\S+""", text)
