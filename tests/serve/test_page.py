"""The web page in a real Chromium: what it shows is what the service says, and nothing is asked of elsewhere."""

from __future__ import annotations

import base64
import csv
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import regraft as package
from regraft.serve.hosted import Hosted, open_hosted
from regraft.serve.limits import Limits
from regraft.utils.progress import Progress

PHONE, DESK = 390, 1400
WAIT_MS = 120_000
REFUSED = "Failed to load resource: the server responded with a status of 422"
"""What a browser says by itself where a picture cannot be read."""

DROP = """([content, name]) => {
  const bytes = Uint8Array.from(atob(content), (one) => one.charCodeAt(0));
  const transfer = new DataTransfer();
  transfer.items.add(new File([bytes], name, { type: "image/png" }));
  const how = { dataTransfer: transfer, bubbles: true, cancelable: true };
  document.getElementById("drop").dispatchEvent(new DragEvent("drop", how));
}"""


@pytest.fixture(scope="module")
def two(
    hosted: dict[str, Hosted], shapes: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Hosted]]:
    """The small run, and one of two classes with a threshold."""
    made = tmp_path_factory.mktemp("two")
    for colour in ("blue", "red"):
        shutil.copytree(shapes / colour, made / "data" / colour)
    small: dict[str, Any] = {"method": "features", "img_size": 64, "report": False, "device": "cpu"}
    run = package.train(made / "data", out=made / "pair", positive="red", target_recall=0.9, **small)
    opened = open_hosted([str(run.folder)], {}, Limits(), lambda name, size: None, Progress())
    yield {"run": hosted["run"], **opened}
    for one in opened.values():
        one.close()


@pytest.fixture(scope="module")
def address(serving: Callable[..., Any], two: dict[str, Hosted]) -> Iterator[str]:
    with serving(two) as found:
        yield f"http://127.0.0.1:{found.port}/"


@pytest.fixture
def opened(browser: Any, address: str) -> Iterator[Callable[..., Any]]:
    """Open a page of the service; at the end there was no error and no request of elsewhere."""
    troubles: list[str] = []
    contexts = []

    def open_page(path: str = "", width: int = DESK, scheme: str = "light", at: str = address) -> Any:
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        context.set_default_timeout(WAIT_MS)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda said: said.text.startswith(REFUSED) or troubles.append(said.text))
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("request", lambda one: one.url.startswith((at, "data:", f"blob:{at}")) or troubles.append(one.url))
        page.goto(at + path)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert troubles == []


def test_a_dropped_picture_gets_its_class_its_heat_map_and_its_row_in_the_csv(
    opened: Callable[..., Any], shapes: Path, small_run: Path, tmp_path: Path
) -> None:
    picture = shapes / "red" / "red0.png"
    (row,) = package.predict(small_run, picture)
    page = opened()
    page.wait_for_selector("#models input")
    page.evaluate(DROP, [base64.b64encode(picture.read_bytes()).decode(), "=red0.png"])
    verdict = page.locator(".verdict")
    verdict.wait_for()
    assert verdict.text_content() == f"{row['label']}, {100 * float(row['prob'] or 0):.1f} %"
    assert page.locator(".bars li").count() == 4
    page.get_by_role("button", name="Show where run looked in =red0.png").press("Enter")
    slider = page.get_by_label(f"What speaks for {row['label']}")
    slider.wait_for()
    hot = page.locator("img.hot")
    assert page.evaluate("document.activeElement.type") == "range"
    slider.press("Home")
    assert float(hot.evaluate("image => getComputedStyle(image).opacity")) == 0
    slider.press("End")
    assert float(hot.evaluate("image => getComputedStyle(image).opacity")) == 1
    assert hot.evaluate("image => image.naturalWidth") == 2 * 64
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Download as CSV").click()
    waiting.value.save_as(tmp_path / "predictions.csv")
    with (tmp_path / "predictions.csv").open(newline="") as file:
        (kept,) = csv.DictReader(file)
    assert kept == {
        "filename": "'=red0.png",
        "model": "run",
        "label": row["label"],
        "prob": str(row["prob"]),
        "error": "",
    }


def test_thresholds_and_abstention_decide_again_without_asking_again(opened: Callable[..., Any], shapes: Path) -> None:
    page = opened()
    page.get_by_role("checkbox", name="pair").check()
    page.set_input_files("#files", shapes / "blue" / "blue0.png")
    verdicts = page.locator(".verdict")
    verdicts.nth(1).wait_for()
    asked: list[str] = []
    page.on("request", lambda one: asked.append(one.url))
    threshold = page.get_by_label("red from a probability of")
    threshold.press("Home")
    assert str(verdicts.nth(1).text_content()).startswith("red")
    threshold.press("End")
    assert str(verdicts.nth(1).text_content()).startswith("blue")
    page.get_by_role("button", name="The model's own").click()
    page.get_by_label("No label where the highest probability is below").press("End")
    assert verdicts.nth(0).text_content() == "Unsure: for a human"
    assert str(verdicts.nth(1).text_content()).startswith("blue")  # a threshold leaves nothing unsure
    assert not [one for one in asked if not one.startswith("blob:")]


@pytest.mark.parametrize("width", [PHONE, DESK])
def test_nothing_sticks_out_and_what_cannot_be_read_says_why(
    opened: Callable[..., Any], shapes: Path, tmp_path: Path, width: int
) -> None:
    odd = tmp_path / f"{'a-long-name-' * 12}.png"
    odd.write_text("no picture")
    page = opened(width=width, scheme="dark")
    page.set_input_files("#files", [odd, shapes / "red" / "red1.png"])
    page.locator(".verdict").wait_for()
    assert page.locator(".bad").text_content() == "Cannot be read: not a picture (text file?)"
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    named = "e.labels?.length || e.textContent || e.alt"
    seen = "[...document.querySelectorAll('button, input, img')]"
    assert page.evaluate(f"() => {seen}.filter(e => !({named})).map(e => e.outerHTML)") == []


def test_what_can_be_asked_is_drawn_without_another_address(opened: Callable[..., Any]) -> None:
    page = opened("docs", PHONE)
    page.get_by_role("heading", name="POST /predict").wait_for()
    assert page.get_by_text("abstain_below").count() >= 2
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE


def test_the_page_asks_for_the_token(
    browser: Any, serving: Callable[..., Any], hosted: dict[str, Hosted], shapes: Path
) -> None:
    with serving(hosted, token="secret") as guarded:
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{guarded.port}/")
        page.get_by_label("This service asks for its token").fill("secret")
        page.keyboard.press("Enter")
        page.set_input_files("#files", shapes / "red" / "red0.png")
        page.locator(".verdict").wait_for()
        page.close()
