"""The page of a run says what the run found, needs nothing from outside, and reads on a phone, in the dark, by key."""

from __future__ import annotations

import html
import json
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

import regraft
import regraft as package  # the fixture of that name is the command line
from regraft.audit.judging import gathered, read_remarks, write_remarks
from regraft.config import Config
from regraft.data import Manifest
from regraft.errors import BundleError, RunError
from regraft.experiments.run import Run, finish
from regraft.experiments.session import Session
from regraft.experiments.train import train as train_run
from regraft.metrics.predictions import Predicted
from regraft.reports.run_report import CORRECT, MISTAKES, read, typical_correct, worst_mistakes
from regraft.utils.progress import Progress

SMALL: dict[str, Any] = {"img_size": 64, "epochs": 2}
SAMPLES = ("four_classes", "two_classes_in_groups", "one_test_picture", "folds")


def link(source: Path, folder: Path, **names: str) -> Path:
    """Make a folder of classes by other names, from some of those of another; the source stays as it is."""
    for colour, name in names.items():
        (folder / name).mkdir(parents=True)
        for picture in (source / colour).iterdir():
            (folder / name / picture.name).symlink_to(picture)
    return folder


@pytest.fixture(scope="session")
def samples(shapes: Path, small_run: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Runs of every kind that there is a page for; read only."""
    place = tmp_path_factory.mktemp("reports")
    pairs = link(shapes, place / "pairs", red="red", blue="blue")
    odd = link(shapes, place / "odd", red="red", blue="a <b> & 'c'", green="a class with quite a long name, indeed")
    for picture in sorted((odd / "a <b> & 'c'").iterdir())[4:]:
        picture.unlink()
    settings: dict[str, dict[str, Any]] = {
        "two_classes_in_groups": {"data": pairs, "method": "features", "groups": r"\d+"},
        "one_test_picture": {"data": odd, "method": "finetuned", "backbone": "squeezenet1_1", "weights": "random"},
        "folds": {"data": pairs, "method": "features", "folds": 3, "groups": r"(\d)\."},
    }
    runs = {name: regraft.train(out=place / name, **SMALL, **asked).folder for name, asked in settings.items()}
    return {"four_classes": small_run, **runs}


@pytest.fixture(params=SAMPLES)
def run(request: pytest.FixtureRequest, samples: dict[str, Path]) -> Path:
    return samples[request.param]


@pytest.fixture
def copy(samples: dict[str, Path], tmp_path: Path) -> Path:
    """A copy of a run, to be changed at will."""
    return Path(shutil.copytree(samples["one_test_picture"], tmp_path / "copy"))


def page_of(run: Path) -> str:
    return (run / "report.html").read_text(encoding="utf-8")


def metrics_of(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    return found


# what it says


def test_the_figures_are_those_of_metrics_json(run: Path) -> None:
    page, metrics = page_of(run), metrics_of(run)
    for name, value in metrics["test"].items():
        if "_ci" not in name:
            shown = re.search(
                rf'<td class="meant">{name.replace("_", " ")}<small>[^<]+</small></td><td>([^<]*)</td><td>([^<]*)<',
                page,
            )
            assert shown is not None
            low, high = metrics["test"][name + "_ci"]
            assert shown[1] == ("–" if value is None else f"{value:.3f}")
            assert shown[2] == ("–" if low is None else f"{low:.3f} to {high:.3f}")
    assert f"of {metrics['n_test']} test pictures" in page
    assert re.search(r"<b>([\d.]+) %</b>", page)[1] == f"{100 * metrics['test']['accuracy']:.1f}"  # type: ignore[index]


def test_classes_groups_and_confusions_add_up_to_the_tested_pictures(run: Path) -> None:
    found, metrics = read(run), metrics_of(run)
    assert sum(row["support"] for row in metrics["per_class"]) == found.tested == metrics["n_test"]
    wrong = sum(one.pictures for one in found.confusions)
    assert found.tested - wrong == round(found.accuracy * found.tested)
    if found.groups:
        assert sum(row.pictures for row in found.groups) == found.tested
        assert sum(row.right for row in found.groups) == found.tested - wrong


@pytest.mark.parametrize(("sample", "expected"), [("four_classes", 4), ("two_classes_in_groups", 2), ("folds", 2)])
def test_classes_are_shown_against_all_others_with_their_areas(
    sample: str, expected: int, samples: dict[str, Path]
) -> None:
    """The areas are scikit-learn's; where no class is looked for, none of two is silently the positive one."""
    from sklearn.metrics import roc_auc_score

    page, answers = page_of(samples[sample]), read(samples[sample]).predictions
    shown = re.findall(r"ROC curve of (\w+): area ([\d.]+)", page)
    assert len(shown) == expected
    for name, area in shown:
        label = metrics_of(samples[sample])["classes"].index(name)
        truth = roc_auc_score(answers.labels == label, answers.probabilities[:, label])
        assert area == f"{truth:.3f}"


def test_the_axes_name_the_classes(samples: dict[str, Path]) -> None:
    page = page_of(samples["folds"])
    for name, other in (("red", "blue"), ("blue", "red")):
        for text in (f"{other} called {name}", f"{name} found", f"Truly {name} of all called so"):
            assert f">{text}</text>" in page


def test_missed_pictures_and_false_alarms_are_counted_in_the_first_box(run: Path) -> None:
    found, first = read(run), page_of(run).split("</header>")[0]
    shown = re.findall(r"<li><b>(\d+)</b> of (\d+) ([^<]+)</li>", first)
    assert [(int(count), int(of), html.unescape(which)) for count, of, which in shown] == found.counted
    assert shown


def test_where_a_class_is_looked_for_its_mistakes_are_called_missed_and_false_alarms(
    shapes: Path, tmp_path: Path
) -> None:
    pairs = link(shapes, tmp_path / "pairs", red="red", blue="blue")
    asked = {"positive": "red", "target_recall": 0.9, "method": "features", "img_size": 64}
    run = train_run(pairs, out=tmp_path / "run", **asked).folder
    assert [one.which for one in read(run).counted] == ["red missed", "blue called red: false alarms"]
    assert re.findall(r"ROC curve of (\w+):", page_of(run)) == ["red"]


def test_the_command_on_the_page_is_that_of_the_run(samples: dict[str, Path]) -> None:
    found = read(samples["two_classes_in_groups"])
    expected = "--method features --img-size 64 --groups '\\d+' --epochs 2"
    assert found.command == f"regraft train {found.config.data} {expected}"
    assert f"The same again, from the folder <code>{Path.cwd()}</code>" in page_of(samples["two_classes_in_groups"])


def test_frozen_and_trained_stages_and_licences_are_named(samples: dict[str, Path]) -> None:
    assert {row.state for row in read(samples["four_classes"]).stages} == {"frozen", "trained, new"}
    assert "trained" in {row.state for row in read(samples["one_test_picture"]).stages}
    assert read(samples["two_classes_in_groups"]).stages[-1].state == "fitted"
    assert "Apache-2.0" in page_of(samples["four_classes"])


def test_what_computed_the_frozen_part_is_named(run: Path) -> None:
    """And of a run of version 0.1.0, which does not know it, nothing is said."""
    part = json.loads((run / "config.json").read_text(encoding="utf-8")).get("frozen_part")
    said = f"{part['engine']} computed the frozen part in {part['precision']}" if part else "computed the frozen part"
    assert (said in page_of(run)) == bool(part)


def test_what_makes_figures_less_sure_is_said(samples: dict[str, Path]) -> None:
    few = read(samples["two_classes_in_groups"]).cautions
    assert any("groups were tested" in sentence for sentence in few)
    assert any("--folds 5 tests every group once" in sentence for sentence in few)
    assert any("Fewer than 30 test pictures" in sentence for sentence in few)


def test_an_interval_says_what_it_is_of(samples: dict[str, Path]) -> None:
    """Two where there are groups: for other groups, and for these alone; none for others where the groups are few."""
    for sample, groups in (("folds", 10), ("two_classes_in_groups", 3)):
        found, top = read(samples[sample]), page_of(samples[sample]).split("</header>")[0]
        assert len(found.groups) == groups
        assert ("95 % interval for groups to come: " in top) == (groups >= 10)
        assert ("No interval for groups to come" in top) == (groups < 10)
        assert re.search(rf"For these {groups} groups alone: [\d.]+ to [\d.]+ %", top)
        assert "Groups of another place, device or time may differ more" in top
        assert ("new pictures like these" in found.sentence) == (groups >= 10)
        assert (f"other pictures of these {groups} groups" in found.sentence) == (groups < 10)
    assert "groups to come" not in page_of(samples["four_classes"])


def test_how_far_groups_lie_apart_is_said_in_plain_words(samples: dict[str, Path]) -> None:
    found = read(samples["folds"])
    lowest, *_, middle = sorted(100 * row.share for row in found.groups)[:5]
    said = f"Of half of the groups {middle:.0f} % or less are right, of one in ten {lowest:.0f} % or less."
    assert found.spread == said
    assert read(samples["two_classes_in_groups"]).spread == ""


def test_class_names_are_text_and_no_markup(samples: dict[str, Path]) -> None:
    page = page_of(samples["one_test_picture"])
    assert "a &lt;b&gt; &amp; &#39;c&#39;" in page
    assert "a <b>" not in page


# which pictures


@given(
    st.integers(2, 5).flatmap(
        lambda k: st.integers(1, 40).flatmap(
            lambda n: st.tuples(
                arrays(np.float64, (n, k), elements=st.floats(0.01, 1)),
                arrays(np.int64, n, elements=st.integers(0, k - 1)),
            )
        )
    )
)
def test_mistakes_are_wrong_the_worst_first_and_hits_are_right_and_of_every_class(
    drawn: tuple[np.ndarray, np.ndarray],
) -> None:
    scores, labels = drawn
    answers = Predicted(scores / scores.sum(1, keepdims=True), labels, None)
    mistakes, hits = worst_mistakes(answers), typical_correct(answers)
    assert not answers.correct[mistakes].any()
    assert answers.correct[hits].all()
    assert len(mistakes) == min(MISTAKES, int((~answers.correct).sum()))
    assert len(hits) == min(CORRECT, int(answers.correct.sum()))
    left = answers.probabilities[mistakes, labels[mistakes]]
    assert (np.diff(left) >= 0).all()
    assert len(set(labels[hits])) == min(len(hits), len(set(labels[answers.correct])))


def test_every_picture_has_a_text_and_a_heat_map_where_a_place_speaks_for_the_answer(run: Path) -> None:
    found, page = read(run), page_of(run)
    shown = [*found.mistakes, *found.correct]
    assert shown
    album = page[page.index('<section id="pictures">') :].split("</section>")[0]
    images = re.findall(r'<img src="data:image/jpeg;base64,[^"]+" alt="([^"]+)"', album)
    assert len(images) == len(shown) + sum(one.heat is not None for one in shown)
    assert found.missing == 0
    assert "are not shown" not in page


def test_pictures_that_are_gone_or_changed_are_left_out_and_counted(drawn: Path, tmp_path: Path) -> None:
    run = train_run(drawn, out=tmp_path / "run", method="features", report=False, **SMALL).folder
    assert not (run / "report.html").exists()
    shown = [*read(run).mistakes, *read(run).correct]
    (drawn / shown[0].name).unlink()
    (drawn / shown[1].name).write_bytes((drawn / shown[2].name).read_bytes())
    assert read(run).missing == 2
    shutil.rmtree(drawn)
    page = regraft.report(run).read_text(encoding="utf-8")
    assert f"{len(shown)} pictures are not shown" in page
    assert "<img" not in page
    assert "Confusion matrix" in page


# the file


def test_it_names_no_address_and_holds_all_that_it_shows(run: Path) -> None:
    page = page_of(run)
    assert "://" not in page.replace("hf://", "")  # of a setting's help: no browser goes there
    assert all(target.startswith(("#", "data:")) for target in re.findall(r'(?:src|href)="([^"]*)"', page))
    assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)\)", page))
    assert "default-src 'none'" in page


def test_equal_runs_give_equal_bytes_and_ids_are_given_once(run: Path) -> None:
    before = (run / "report.html").read_bytes()
    assert regraft.report(run).read_bytes() == before
    assert not list(run.glob(".*.tmp"))


def test_a_page_of_5000_test_pictures_stays_small(copy: Path) -> None:
    answers, times = Predicted.load(copy), 5000
    which = np.random.default_rng(0).integers(0, len(answers.labels), times)
    Predicted(answers.probabilities[which], answers.labels[which], [f"group {at}" for at in range(times)]).save(copy)
    header, *rows = (copy / "predictions.csv").read_text(encoding="utf-8").splitlines()
    (copy / "predictions.csv").write_text("\n".join([header, *(rows[at] for at in which)]), encoding="utf-8")
    assert regraft.report(copy).stat().st_size < 2_000_000


# on the command line


def test_the_command_writes_it_anew_and_train_can_leave_it_out(
    regraft: Callable[..., Any], copy: Path, samples: dict[str, Path]
) -> None:
    before = (copy / "report.html").read_bytes()
    (copy / "report.html").unlink()
    answer = regraft("report", copy)
    assert (answer.status, answer.out) == (0, f"{copy / 'report.html'}\n")
    assert len((copy / "report.html").read_bytes()) > 0.9 * len(before)
    assert json.loads(regraft("report", copy, "--json").out) == {"report": str(copy / "report.html")}


@pytest.mark.parametrize(
    ("awaits", "findings", "said"), [(True, False, True), (True, True, False), (False, False, False)]
)
def test_a_run_that_was_killed_before_its_data_were_judged_says_how_its_page_gets_their_findings(
    regraft: Callable[..., Any], copy: Path, awaits: bool, findings: bool, said: bool
) -> None:
    metrics = {**metrics_of(copy), **({"awaits": "report"} if awaits else {})}
    (copy / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    (copy / "findings.csv").unlink()
    if findings:
        write_remarks(copy / "findings.csv", [])
    data = json.loads((copy / "config.json").read_text(encoding="utf-8"))["data"]
    answer = regraft("report", copy)
    assert (answer.status, answer.out) == (0, f"{copy / 'report.html'}\n")
    again = f"Add them with: regraft train {data} --out {copy} --resume"
    assert (again in answer.err.replace("\n", " ")) == said
    assert len(answer.err.splitlines()) == said


def test_what_is_no_finished_run_is_refused(regraft: Callable[..., Any], copy: Path, tmp_path: Path) -> None:
    assert regraft("report", tmp_path / "nothing").status == 1
    (copy / "metrics.json").rename(copy / "kept")
    answer = regraft("report", copy)
    assert (answer.status, len(answer.err.splitlines())) == (1, 1)
    assert "--resume" in answer.err
    (copy / "kept").rename(copy / "metrics.json")
    shutil.rmtree(copy / "model")
    with pytest.raises(BundleError):
        read(copy)


def test_files_of_two_runs_are_not_mixed(copy: Path) -> None:
    lines = (copy / "predictions.csv").read_text(encoding="utf-8").splitlines()
    (copy / "predictions.csv").write_text("\n".join(lines[:-1]), encoding="utf-8")
    with pytest.raises(RunError, match="another run"):
        read(copy)


def test_a_page_that_cannot_be_written_is_told_in_one_line_and_leaves_the_run(copy: Path) -> None:
    said: list[str] = []

    class Listening(Progress):
        def warn(self, text: str) -> None:
            said.append(text)

    (copy / "report.html").unlink()
    (copy / "report.html").mkdir()
    (copy / "report.html" / "in the way").touch()
    run = Run(copy, "", "", 0.0, None)  # type: ignore[arg-type]
    session = Session(Path("cells"), Config(), {}, Listening(), Manifest(Path("cells"), ("a", "b"), ()))
    finish(run, session, lambda model: None)
    assert len(said) == 1
    assert "The run is kept" in said[0]
    assert f"regraft train cells --out {copy} --resume" in said[0]
    assert (copy / "metrics.json").exists()


# the data


def test_leaks_that_files_do_not_show_are_on_the_page_as_regraft_check_finds_them(drawn: Path, tmp_path: Path) -> None:
    """The same picture as a PNG that is learned and a smaller JPEG that is tested."""
    for folder in sorted(drawn.iterdir()):
        for number, picture in enumerate(sorted(folder.iterdir())):
            part = tmp_path / "parts" / ("train", "train", "train", "val", "val", "test", "test", "test")[number]
            (part / folder.name).mkdir(parents=True, exist_ok=True)
            shutil.copy(picture, part / folder.name)
    data = tmp_path / "parts"
    learned = next((data / "train" / "red").iterdir())
    Image.open(learned).resize((60, 60)).save(data / "test" / "red" / "again.jpg", quality=90)
    run = regraft.train(data, out=tmp_path / "run", method="features", img_size=64).folder
    checked = regraft.check(data, out=tmp_path / "check", img_size=64)
    remarks = read_remarks(run / "findings.csv")
    assert remarks == read_remarks(checked.folder / "findings.csv")
    leaks = [remark for remark in remarks if remark.kind == "leak"]
    planted = {f"train/red/{learned.name}", "test/red/again.jpg"}
    assert planted in [{one.filename, one.other} for one in leaks]  # among others: drawn shapes are much alike
    page = page_of(run)
    assert f'<td class="text">leaks between parts or groups</td><td>{len(gathered(leaks))}</td>' in page
    assert f'alt="{leaks[0].other}"' in page
    assert any("between parts or groups" in caution for caution in read(run).cautions)
    assert page == regraft.report(run).read_text(encoding="utf-8")
    (data / leaks[0].other).write_bytes(Image.new("RGB", (60, 60)).tobytes())  # no longer what was judged
    assert f'alt="{leaks[0].other}"' not in regraft.report(run).read_text(encoding="utf-8")


def test_where_nothing_was_kept_the_page_names_the_command_that_judges_the_data(drawn: Path, tmp_path: Path) -> None:
    run = regraft.train(drawn, out=tmp_path / "run", method="scratch", img_size=64, epochs=1).folder
    assert not (run / "findings.csv").exists()
    assert "This looks at files only" in page_of(run)
    assert "regraft check" in page_of(run)


def test_the_command_that_judges_the_data_does_so_for_every_kind_of_run(
    regraft: Callable[..., Any], run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(run.parent)  # the folder that holds the run, as the page says
    _, *words = shlex.split(read(run).check_command)
    answer = regraft(*words, "--out", tmp_path / "checked")
    assert answer.status == 0, answer.err
    assert (tmp_path / "checked" / "check.html").exists()


def test_that_command_knows_how_the_data_were_read_and_works_from_the_folder_it_names(
    regraft: Callable[..., Any], drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names = [f"{path.parent.name}/{path.name}" for path in sorted(drawn.rglob("*.png"))]
    lines = ["shot,colour of it", *(f"{name},{name.split('/')[0]}" for name in names)]
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "table.csv").write_text("\n".join(lines), encoding="utf-8")
    settings = {"images": "./drawn", "path_column": "shot", "label_column": "colour of it", "img_size": 64}
    run = package.train("kept/table.csv", out="runs/it", method="features", **settings).folder
    monkeypatch.chdir(tmp_path / "runs")
    answer = regraft(*shlex.split(read(tmp_path / run).check_command)[1:], "--out", tmp_path / "checked")
    assert answer.status == 0, answer.err


def test_the_parts_of_a_run_that_left_out_a_file_serve_another(
    regraft: Callable[..., Any], drawn: Path, tmp_path: Path
) -> None:
    """Whether the file still cannot be read, or has been mended since: then it is one more to learn from."""
    broken = drawn / "red" / "broken.png"
    broken.write_bytes(b"no picture")
    settings: dict[str, Any] = {"method": "features", "report": False, "img_size": 64}
    first = package.train(drawn, out=tmp_path / "first", **settings).folder
    words = shlex.split(read(first).check_command)[1:]
    words[words.index("--split-from") + 1] = str(first)
    assert regraft(*words, "--out", tmp_path / "checked").status == 0
    again = package.train(drawn, out=tmp_path / "again", split_from=first, **settings).folder
    assert (again / "split.csv").read_bytes() == (first / "split.csv").read_bytes()
    shutil.copy(next((drawn / "red").glob("*[0-9].png")), broken)
    mended = package.train(drawn, out=tmp_path / "mended", split_from=first, **settings).folder
    parts = {row["filename"]: row["split"] for row in read(mended).split}
    assert parts == {**{row["filename"]: row["split"] for row in read(first).split}, "red/broken.png": "train"}


def test_a_copy_in_two_parts_is_a_caution_where_the_data_were_not_judged(drawn: Path, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"method": "features", "report": False, "img_size": 64}
    run = package.train(drawn, out=tmp_path / "first", **settings).folder
    assert not [one for one in read(run).cautions if "leak" in one]
    parts = {row["split"]: row["filename"] for row in read(run).split}
    shutil.copy(drawn / parts["test"], drawn / parts["train"])
    leaky = read(package.train(drawn, out=tmp_path / "leaky", split_from=run, **settings).folder)
    assert [one for one in leaky.cautions if "leak" in one] == [
        "A leak between parts or groups was found, see Data: the figures may be too good."
    ]
    assert "1 picture is in two parts, as copies." in leaky.findings


# in a browser

PHONE, DESK = 390, 1400


@pytest.mark.parametrize("width", [PHONE, DESK])
def test_every_figure_is_drawn_and_nothing_sticks_out(opened: Callable[..., Any], run: Path, width: int) -> None:
    page = opened(run / "report.html", width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    edge = page.evaluate("document.querySelector('.scale').getBoundingClientRect().right")
    marks = page.evaluate("[...document.querySelectorAll('.ends span')].map(m => m.getBoundingClientRect().right)")
    assert len(marks) == 3
    assert max(marks) <= edge  # what is under the bar lies in its card
    drawings = page.evaluate("[...document.querySelectorAll('figure svg')].map(s => s.getBoundingClientRect().height)")
    assert len(drawings) >= 3
    assert min(drawings) > 100
    widths = page.evaluate("[...document.images].map(image => image.complete && image.naturalWidth)")
    assert widths
    assert all(width > 30 for width in widths)
    assert page.evaluate("[...document.querySelectorAll('[role=img]')].every(d => d.ariaLabel.length > 20)")
    identities = page.evaluate("[...document.querySelectorAll('section[id], nav a')].map(e => e.id || e.hash)")
    assert all(f"{target}" in {f"#{one}" for one in identities} for target in identities if target.startswith("#"))


def test_every_table_sorts_by_click_and_by_key(opened: Callable[..., Any], run: Path) -> None:
    page = opened(run / "report.html")
    page.evaluate("for (const fold of document.querySelectorAll('details')) fold.open = true")
    buttons = page.locator("th button")
    assert buttons.count() > 10
    for number in range(buttons.count()):
        button = buttons.nth(number)
        head = button.locator("xpath=..")
        button.click()
        assert head.get_attribute("aria-sort") == "descending"
        button.focus()
        page.keyboard.press("Enter")
        assert head.get_attribute("aria-sort") == "ascending"
        cells = head.evaluate(
            "head => [...head.closest('table').tBodies[0].rows].map(row => row.children[head.cellIndex].textContent)"
        )
        if all(re.fullmatch(r"-?[\d.]+", cell) for cell in cells):
            assert [float(cell) for cell in cells] == sorted(map(float, cells))


CONTRASTS = """() => {
  const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = (c) => [0.2126, 0.7152, 0.0722].reduce((sum, share, i) => {
    const v = c[i] / 255; return sum + share * (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); }, 0);
  const behind = (e) => { for (; e; e = e.parentElement) {
    const c = rgb(getComputedStyle(e).backgroundColor); if (c.length < 4 || c[3] > 0) return c; }
    return [255, 255, 255]; };
  const poor = [];
  for (const e of document.querySelectorAll('main *')) {
    if (e.closest('svg') || ![...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim())) continue;
    const [a, b] = [light(rgb(getComputedStyle(e).color)), light(behind(e))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) poor.push([e.tagName, e.textContent.slice(0, 30), ratio]);
  }
  return poor;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_what_is_behind_it(opened: Callable[..., Any], run: Path, scheme: str) -> None:
    page = opened(run / "report.html", scheme=scheme)
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor") != "rgb(255, 255, 255)"
    assert dark == (scheme == "dark")
    assert page.evaluate(CONTRASTS) == []


CELLS = """() => {
  const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = (c) => [0.2126, 0.7152, 0.0722].reduce((sum, share, i) => {
    const v = c[i] / 255; return sum + share * (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); }, 0);
  const paper = rgb(getComputedStyle(document.body).backgroundColor);
  const shapes = [...document.querySelectorAll('#confusion svg path')];
  const cells = shapes.filter((shape) => shape.style.stroke === 'rgb(128, 128, 128)');
  return [...document.querySelectorAll('#confusion svg text')].filter((t) => /^\\d/.test(t.textContent)).map((text) => {
    const box = text.getBoundingClientRect(), x = box.x + box.width / 2, y = box.y + box.height / 2;
    const cell = cells.find((one) => { const b = one.getBoundingClientRect();
      return b.left < x && x < b.right && b.top < y && y < b.bottom; });
    const style = getComputedStyle(cell), share = style.fill === 'none' ? 0 : Number(style.fillOpacity);
    const fill = share ? rgb(style.fill) : paper, behind = paper.slice(0, 3).map((c, i) => c + share * (fill[i] - c));
    const [a, b] = [light(rgb(getComputedStyle(text).fill)), light(behind)];
    return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  });
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_numbers_of_the_confusion_matrix_stand_out_from_their_cells(
    opened: Callable[..., Any], run: Path, scheme: str
) -> None:
    ratios = opened(run / "report.html", scheme=scheme).evaluate(CELLS)
    assert len(ratios) >= 4
    assert min(ratios) >= 4.5


def test_it_prints(opened: Callable[..., Any], samples: dict[str, Path]) -> None:
    printed = opened(samples["four_classes"] / "report.html").pdf(format="A4")
    assert printed.startswith(b"%PDF")
    assert 1 < len(re.findall(rb"/Type\s*/Page\b", printed)) < 12
