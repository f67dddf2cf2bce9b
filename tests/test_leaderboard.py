"""Rows -> findings: order, ties, Pareto front, the control's gains, the files."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from regraft.answers import Answers
from regraft.leaderboard import Control, Findings, Learned, Row, duration, name_of, ranked


def row(backbone: str, accuracy: float, milliseconds: float = 10.0, method: str = "frozen") -> Row:
    test = {"accuracy": accuracy, "accuracy_ci": [accuracy - 0.1, accuracy + 0.1]}
    test |= dict.fromkeys(("auroc", "macro_f1", "calibration_error"), 0.5)
    return Row(backbone, method, "ok", n_test=100, predict_ms=milliseconds, test=test)


def right(count: int, of: int = 100) -> np.ndarray:
    return np.arange(of) < count


def findings(rows: list[Row], control: Control | None = None) -> Findings:
    hits = {name_of(row): right(round(100 * row.accuracy)) for row in rows if row.status == "ok"}
    return Findings.of(rows, hits, None, control)


FAILED = Row("vgg16", "frozen", "failed", reason="the weights <are> not here")


def test_rows_without_figures_come_last_and_of_equals_the_quicker_first() -> None:
    slow, quick, worse = row("a", 0.9, 20), row("b", 0.9, 10), row("c", 0.8)
    assert ranked([FAILED, worse, slow, quick]) == [quick, slow, worse, FAILED]


def test_a_difference_that_may_be_luck_is_called_a_tie() -> None:
    found = findings([row("a", 0.95), row("b", 0.94), row("c", 0.5)])
    assert found.ties == {"a-frozen", "b-frozen"}
    assert "1 more cannot be told from it" in found.advice()


def test_among_ties_the_quickest_is_named() -> None:
    assert (
        "b with frozen predicts quickest, 5 ms against 30 ms"
        in findings([row("a", 0.95, 30), row("b", 0.94, 5)]).advice()
    )


def test_times_that_look_the_same_are_not_set_against_each_other() -> None:
    said = findings([row("a", 0.95, 5.2), row("b", 0.94, 5.1)]).advice()
    assert said == (
        "It is a tie: none is more accurate than a with frozen, 0.950, but 1 more cannot be told from it with these "
        "pictures."
    )


def test_a_clear_winner_is_called_one() -> None:
    assert "more than luck" in findings([row("a", 0.95), row("b", 0.5)]).advice()


def test_a_single_row_is_not_called_the_most_accurate() -> None:
    for rows in ([row("a", 0.95)], [row("a", 0.95), FAILED]):
        said = findings(rows).advice()
        assert said == "a with frozen has an accuracy of 0.950; there is no other row to compare it with."


def test_most_accurate_is_said_of_a_clear_winner_alone() -> None:
    for accuracy, tie in ((0.95, True), (0.94, True), (0.5, False)):
        said = findings([row("a", 0.95), row("b", accuracy)]).advice()
        assert ("most accurate" in said, "It is a tie" in said) == (not tie, tie)


def test_a_part_of_the_rows_is_not_taken_for_the_whole() -> None:
    rows = [row("a", 0.95), row("b", 0.5)]
    hits = {name_of(row): right(round(100 * row.accuracy)) for row in rows}
    found = Findings.of(rows, hits, None, None, missing=4)
    assert found.advice().startswith("The comparison is incomplete, 4 of 6 rows are missing. a with frozen")
    assert found.as_dict()["missing"] == 4


def test_the_quickest_is_sought_among_those_that_cannot_be_told_from_the_best() -> None:
    rows = [row("a", 0.95, 30), row("b", 0.94, 20), row("c", 0.5, 5)]
    assert name_of(findings(rows).quickest) == "b-frozen"
    assert name_of(findings(rows[::2]).quickest) == "a-frozen"


def test_on_the_pareto_front_nothing_quicker_is_as_accurate() -> None:
    rows = [row("a", 0.9, 30), row("b", 0.9, 20), row("c", 0.8, 10), row("d", 0.7, 15), row("e", 0.95, 50)]
    assert findings(rows).front == {"b-frozen", "c-frozen", "e-frozen"}


def learned(accuracy: float, *curve: float, pictures: int = 100) -> Learned:
    labels = np.zeros(pictures, int)
    given = np.where(right(round(pictures * accuracy), pictures), 0, 1)
    return Learned(list(curve), Answers(np.eye(2)[given], labels, None))


def test_transfer_gains_a_higher_start_slope_and_end() -> None:
    control = Control.of(row("a", 0.9), learned(0.9, 0.8, 0.85, 0.9), learned(0.6, 0.5, 0.52, 0.54), 3)
    assert (control.start, control.slope, control.end) == pytest.approx((30.0, 3.0, 30.0))
    assert "gains 30.0 points of test accuracy: a, frozen, has" in control.sentence()
    assert "has 0.900, the same network from random weights 0.600 after 3 epochs" in control.sentence()


@pytest.mark.parametrize(("count", "few", "hopeless"), [(5, True, True), (6, True, False), (20, False, False)])
def test_few_groups_are_said_and_so_few_that_nothing_can_be_told(count: int, few: bool, hopeless: bool) -> None:
    rows, groups = [row("a", 0.9), row("b", 0.1)], [f"p{at % count}" for at in range(40)]
    hits = {name_of(one): np.arange(40) < 40 * one.accuracy for one in rows}
    found = Findings.of(rows, hits, groups, None)
    assert (f"Only {count} groups" in found.advice()) == few
    assert ("no difference can be told from luck" in found.advice()) == hopeless
    assert found.over == f"{count} groups"
    if hopeless:
        assert len(found.ties) == 2


@pytest.mark.parametrize(("models", "hopeless"), [(2, False), (5, True)])
def test_the_more_rows_there_are_the_more_groups_it_takes_to_tell_them_apart(models: int, hopeless: bool) -> None:
    """Eight groups can give p = 0.008, and ten pairs of models make 0.08 of it."""
    groups = [f"p{at % 8}" for at in range(40)]
    rows = [row(name, accuracy) for name, accuracy in zip("abcde", [1.0, *[0.0] * 4], strict=True)][:models]
    found = Findings.of(rows, {name_of(one): np.full(40, one.accuracy == 1) for one in rows}, groups, None)
    assert ("no difference can be told from luck" in found.advice()) == hopeless
    assert (len(found.ties) > 1) == hopeless


def test_slopes_are_compared_over_the_same_epochs_and_one_epoch_has_none() -> None:
    control = Control.of(row("a", 0.9), learned(0.9, 0.5, 0.6, 0.9, 0.9), learned(0.6, 0.4, 0.5), 2)
    assert control.slope == pytest.approx(0.0)
    assert control.sentence().endswith("starts 10.0 points higher and rises by no more per epoch at first.")
    once = Control.of(row("a", 0.9), learned(0.9, 0.5, 0.6), learned(0.6, 0.4), 1)
    assert once.slope is None
    assert "after 1 epoch." in once.sentence()
    assert once.sentence().endswith("starts 10.0 points higher.")


def test_a_method_without_epochs_has_no_curve_but_an_end() -> None:
    control = Control.of(row("a", 0.5, method="features"), learned(0.5), learned(0.6, 0.5, 0.6), 2)
    assert (control.start, control.slope) == (None, None)
    assert "loses 10.0 points of test accuracy: a, features" in control.sentence()


@pytest.mark.parametrize(
    ("best", "scratch", "pictures", "worth"),
    [
        (0.9, 0.9, 100, "neither gains nor loses test accuracy: a"),
        (0.8, 0.6, 10, "gains 20.0 points of test accuracy, which may be luck: a"),  # two pictures
        (0.8, 0.6, 100, "gains 20.0 points of test accuracy: a"),
    ],
)
def test_a_gain_that_may_be_luck_is_called_so(best: float, scratch: float, pictures: int, worth: str) -> None:
    both = (learned(accuracy, pictures=pictures) for accuracy in (best, scratch))
    assert Control.of(row("a", best), *both, 2).sentence().startswith(f"Transfer {worth}")


@pytest.mark.parametrize(("count", "hopeless"), [(3, True), (5, True), (6, False)])
def test_where_no_gain_could_be_told_from_luck_the_few_groups_are_named(count: int, hopeless: bool) -> None:
    groups = [f"p{at % count}" for at in range(30)]
    both = [learned(accuracy, pictures=30) for accuracy in (0.9, 0.1)]
    both = [one._replace(answers=replace(one.answers, groups=groups)) for one in both]
    said = Control.of(row("a", 0.9), *both, 2).sentence()
    assert (f"may be luck ({count} groups are too few to tell)" in said) == hopeless
    assert ("may be luck" in said) == hopeless


def test_the_control_of_a_cross_validation_names_its_fold() -> None:
    control = Control.of(row("a", 0.7), learned(0.9), learned(0.6), 5, fold=1)
    assert (control.accuracy, control.end) == pytest.approx((0.9, 30.0))  # of the fold, and not of the row
    assert control.sentence().endswith("0.600 after 5 epochs, both in fold 1.")


def test_a_row_survives_the_disk(tmp_path: Path) -> None:
    assert Row.load(tmp_path) is None
    row("a", 0.9).save(tmp_path)
    assert Row.load(tmp_path) == row("a", 0.9)


def test_the_files_say_the_same(tmp_path: Path) -> None:
    found = findings(
        [row("a", 0.95), row("b", 0.5), FAILED], Control.of(row("a", 0.95), learned(0.95, 0.9), learned(0.5, 0.4), 1)
    )
    found.write(tmp_path)
    table = list(csv.DictReader((tmp_path / "leaderboard.csv").open()))
    kept = json.loads((tmp_path / "leaderboard.json").read_text())
    assert [line["backbone"] for line in table] == [line["backbone"] for line in kept["rows"]] == ["a", "b", "vgg16"]
    assert [line["status"] for line in table] == ["ok", "ok", "failed"]
    assert float(table[0]["accuracy"]) == kept["rows"][0]["test"]["accuracy"] == 0.95
    assert [line["tie"] for line in table] == ["True", "False", "False"]
    page = (tmp_path / "comparison.html").read_text()
    assert "95.0 % of 100 test pictures right" in page
    assert "the weights &lt;are&gt; not here" in page
    assert found.advice() in page.replace("&#39;", "'")


def test_equal_findings_give_equal_pages(tmp_path: Path) -> None:
    pages = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        findings([row("a", 0.95), row("b", 0.5)]).write(tmp_path / name)
        pages.append((tmp_path / name / "comparison.html").read_bytes())
    assert pages[0] == pages[1]


@pytest.mark.parametrize(("seconds", "said"), [(0.4, "0 s"), (99, "99 s"), (720, "12 min"), (12600, "3.5 h")])
def test_durations_are_short(seconds: float, said: str) -> None:
    assert duration(seconds) == said
