"""Rows -> findings: order, ties, Pareto front, the control's gains, the files."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from regraft.metrics.predictions import Predicted
from regraft.reports.comparison_page import write
from regraft.reports.comparison_report import Control, Findings, Learned, Row, duration, name_of, ranked


def row(backbone: str, accuracy: float, milliseconds: float = 10.0, method: str = "frozen") -> Row:
    test = {"accuracy": accuracy, "accuracy_ci": [accuracy - 0.1, accuracy + 0.1]}
    test |= dict.fromkeys(("auroc", "macro_f1", "calibration_error"), 0.5)
    return Row(backbone, method, "ok", n_test=100, predict_ms=milliseconds, test=test)


def right(count: int, of: int = 100) -> np.ndarray:
    return np.arange(of) < count


def findings(rows: list[Row], control: Control | None = None) -> Findings:
    hits = {name_of(row): right(round(100 * row.accuracy)) for row in rows if row.status == "ok"}
    return replace(Findings.of(rows, hits), control=control)


FAILED = Row("vgg16", "frozen", "failed", reason="the weights <are> not here")


def test_rows_without_figures_come_last_and_of_equals_the_smaller_first() -> None:
    worse, large, small = (
        row("c", 0.8, 5),
        replace(row("a", 0.9, 10), size_mb=90),
        replace(row("b", 0.9, 20), size_mb=20),
    )
    assert ranked([FAILED, worse, large, small]) == [small, large, worse, FAILED]


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
    found = replace(Findings.of(rows, hits), missing=4)
    assert found.advice().startswith("The comparison is incomplete, 4 of 6 rows are missing. a with frozen")
    assert found.as_dict()["missing"] == 4


def test_the_quickest_is_sought_among_those_that_cannot_be_told_from_the_best() -> None:
    rows = [row("a", 0.95, 30), row("b", 0.94, 20), row("c", 0.5, 5)]
    assert name_of(findings(rows).quickest) == "b-frozen"
    assert name_of(findings(rows[::2]).quickest) == "a-frozen"


def test_the_control_goes_with_the_smallest_of_them_whatever_a_clock_says() -> None:
    sizes = {"a": 90.0, "b": 20.0, "c": 5.0}
    for milliseconds in ((30, 20, 5), (20, 30, 5)):
        times = dict(zip("abc", milliseconds, strict=True))
        rows = [
            replace(row(name, accuracy, times[name]), size_mb=sizes[name])
            for name, accuracy in (("a", 0.95), ("b", 0.94), ("c", 0.5))
        ]
        assert [name_of(row) for row in findings(rows).smallest_alike] == ["b-frozen"]


def test_on_the_pareto_front_nothing_quicker_is_as_accurate() -> None:
    rows = [row("a", 0.9, 30), row("b", 0.9, 20), row("c", 0.8, 10), row("d", 0.7, 15), row("e", 0.95, 50)]
    assert findings(rows).front == {"b-frozen", "c-frozen", "e-frozen"}


def learned(accuracy: float, *curve: float, pictures: int = 100) -> Learned:
    labels = np.zeros(pictures, int)
    given = np.where(right(round(pictures * accuracy), pictures), 0, 1)
    return Learned(list(curve), Predicted(np.eye(2)[given], labels, None))


def test_transfer_gains_a_higher_start_slope_and_end() -> None:
    control = Control.of(row("a", 0.9), learned(0.9, 0.8, 0.85, 0.9), learned(0.6, 0.5, 0.52, 0.54), 3)
    assert (control.start, control.slope, control.end) == pytest.approx((30.0, 3.0, 30.0))
    assert control.sentence().startswith("Transfer gains 30.0 points of test accuracy, with 95 % confidence between 2")
    assert ": a, frozen, has" in control.sentence()
    assert "has 0.900, the same network from random weights 0.600 after 3 epochs" in control.sentence()


@pytest.mark.parametrize(("count", "few", "hopeless"), [(5, True, True), (6, True, False), (40, False, False)])
def test_few_groups_are_said_and_so_few_that_nothing_can_be_told(count: int, few: bool, hopeless: bool) -> None:
    rows, groups = [row("a", 0.9), row("b", 0.1)], [f"p{at % count}" for at in range(80)]
    hits = {name_of(one): np.arange(80) < 80 * one.accuracy for one in rows}
    found = Findings.of(rows, hits, groups)
    assert ("--folds 5 tests every group once" in found.advice()) == few
    assert (f"Only {count} groups" in found.advice()) == few
    assert ("no difference can be told from luck" in found.advice()) == hopeless
    if hopeless:
        assert len(found.ties) == 2


@pytest.mark.parametrize(("models", "hopeless"), [(2, False), (5, True)])
def test_the_more_rows_there_are_the_more_groups_it_takes_to_tell_them_apart(models: int, hopeless: bool) -> None:
    """Eight groups can give p = 0.008, and ten pairs of models make 0.08 of it."""
    groups = [f"p{at % 8}" for at in range(40)]
    rows = [row(name, accuracy) for name, accuracy in zip("abcde", [1.0, *[0.0] * 4], strict=True)][:models]
    found = Findings.of(rows, {name_of(one): np.full(40, one.accuracy == 1) for one in rows}, groups)
    assert ("no difference can be told from luck" in found.advice()) == hopeless
    assert (len(found.ties) > 1) == hopeless


def test_slopes_are_compared_over_the_same_epochs_and_one_epoch_has_none() -> None:
    control = Control.of(row("a", 0.9), learned(0.9, 0.5, 0.6, 0.9, 0.9), learned(0.6, 0.4, 0.5), 2)
    assert control.slope == pytest.approx(0.0)
    assert control.sentence().endswith(
        "starts 10.0 points higher and rises by no more per epoch at first than from random weights."
    )
    once = Control.of(row("a", 0.9), learned(0.9, 0.5, 0.6), learned(0.6, 0.4), 1)
    assert once.slope is None
    assert "after 1 epoch." in once.sentence()
    assert once.sentence().endswith("starts 10.0 points higher than from random weights.")


def test_a_method_without_epochs_has_no_curve_but_an_end() -> None:
    control = Control.of(row("a", 0.5, method="features"), learned(0.5), learned(0.6, 0.5, 0.6), 2)
    assert (control.start, control.slope) == (None, None)
    assert "ransfer loses 10.0 points of test accuracy, with 95 % confidence between " in control.sentence()


@pytest.mark.parametrize(
    ("best", "scratch", "pictures", "worth"),
    [
        (0.9, 0.9, 100, "Transfer neither gains nor loses test accuracy: a"),
        (0.8, 0.6, 10, "Too little to say: transfer gains 20.0 points of test accuracy, which may be luck: a"),
        (11 / 12, 6 / 12, 12, "Too little to say: transfer gains 41.7 points of test accuracy, which may be luck: a"),
        (0.8, 0.6, 100, "Transfer gains 20.0 points of test accuracy, with 95 % confidence between 1"),
    ],
)
def test_a_gain_that_may_be_luck_is_called_so(best: float, scratch: float, pictures: int, worth: str) -> None:
    both = (learned(accuracy, pictures=pictures) for accuracy in (best, scratch))
    assert Control.of(row("a", best), *both, 2).sentence().startswith(worth)


@pytest.mark.parametrize(("count", "hopeless"), [(3, True), (5, True), (6, False)])
def test_where_no_gain_could_be_told_from_luck_the_few_groups_are_named(count: int, hopeless: bool) -> None:
    groups = [f"p{at % count}" for at in range(30)]
    both = [learned(accuracy, pictures=30) for accuracy in (0.9, 0.1)]
    both = [one._replace(predictions=replace(one.predictions, groups=groups)) for one in both]
    said = Control.of(row("a", 0.9), *both, 2).sentence()
    assert (f"may be luck ({count} groups are too few to tell)" in said) == hopeless
    assert ("may be luck" in said) == hopeless


def answered(right: float, *, pictures: int, groups: int | None = None, seed: int = 0) -> Predicted:
    """Of so many pictures of two classes, such a share is right, and more probably so than what is wrong."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, pictures)
    given = np.where(rng.random(pictures) < right, labels, 1 - labels)
    sure = rng.uniform(0.5, 0.9, pictures)
    probabilities = np.where(np.eye(2)[given] == 1, sure[:, None], 1 - sure[:, None])
    return Predicted(probabilities, labels, [f"p{at % groups}" for at in range(pictures)] if groups else None)


def test_beside_a_control_that_learned_nothing_no_gain_is_claimed(tmp_path: Path) -> None:
    """A network at chance shows that its epochs were too few, and not what pretrained weights are worth."""
    chance = Learned([0.5] * 30, answered(0.5, pictures=400), [0.693] * 30, 0.5, 0.52)
    best = Learned([0.95], answered(0.95, pictures=400, seed=1), [0.2], 0.95, 0.52)
    control = Control.of(row("a", 0.95), best, chance, 30)
    said = control.sentence()
    assert said.startswith(
        "What transfer gains cannot be said: after 30 epochs from random weights a has learned nothing"
    )
    assert "points" not in said
    write(findings([row("a", 0.95)], control), tmp_path)
    kept = json.loads((tmp_path / "leaderboard.json").read_text())["control"]
    assert kept["state"] == "nothing learned"
    assert [kept[name] for name in ("end", "start", "slope", "interval")] == [None] * 4


@pytest.mark.parametrize(
    ("losses", "rising"),
    [
        ([0.69, 0.6, 0.5, 0.4, 0.3], True),
        ([0.69], True),  # one epoch is no end
        ([0.69, 0.4, 0.3, 0.3, 0.2999], False),
        ([0.69, 0.4, 0.3, 0.35, 0.4], False),
    ],
)
def test_a_control_that_was_still_learning_is_called_so(losses: list[float], rising: bool) -> None:
    scratch = Learned([0.6] * len(losses), answered(0.7, pictures=400), losses)
    said = Control.of(row("a", 0.95), learned_from(answered(0.95, pictures=400)), scratch, len(losses)).sentence()
    assert ("It was still learning then" in said) == rising


def learned_from(answers: Predicted) -> Learned:
    return Learned([], answers)


@pytest.mark.parametrize("groups", [None, 20])
def test_the_interval_of_a_gain_is_that_of_paired_answers(groups: int | None) -> None:
    """Against the textbook's: of single pictures by the normal distribution, of equal groups by Student's t."""
    best, scratch = (answered(right, pictures=2000, groups=groups, seed=seed) for right, seed in ((0.9, 1), (0.7, 1)))
    apart = best.correct.astype(float) - scratch.correct
    units = apart if groups is None else apart.reshape(-1, groups).mean(0)
    reach = stats.t.ppf(0.975, len(units) - 1) * units.std(ddof=1) / np.sqrt(len(units))
    low, high = Control.of(row("a", 0.9), learned_from(best), learned_from(scratch), 5).interval or (0, 0)
    assert (low, high) == pytest.approx((100 * (apart.mean() - reach), 100 * (apart.mean() + reach)), abs=0.25)


def test_a_gain_over_few_groups_has_no_interval_and_says_so() -> None:
    best, scratch = (answered(right, pictures=800, groups=8, seed=1) for right in (0.95, 0.6))
    control = Control.of(row("a", 0.95), learned_from(best), learned_from(scratch), 5)
    assert control.interval is None
    assert "points of test accuracy (8 groups are too few for an interval): a" in control.sentence()


@pytest.mark.parametrize(
    ("pretrained", "scratch", "lines", "said"),
    [
        (3, 30, {"pretrained", "random weights", "always the commonest class"}, "no learning curve"),
        (0, 30, {"random weights", "pretrained, frozen", "always the commonest class"}, "frozen has no epochs"),
        (1, 30, {"random weights", "pretrained, frozen", "always the commonest class"}, "frozen has one epoch"),
        (30, 1, set(), "The control had one epoch, and that makes no learning curve"),
    ],
)
def test_no_dot_is_drawn_against_a_curve(
    tmp_path: Path, pretrained: int, scratch: int, lines: set[str], said: str
) -> None:
    best = Learned([0.9] * pretrained, answered(0.95, pictures=400), [0.3] * pretrained, 0.9, 0.52)
    other = Learned([0.6] * scratch, answered(0.7, pictures=400), [0.6] * scratch, 0.6, 0.52)
    write(findings([row("a", 0.95)], Control.of(row("a", 0.95), best, other, scratch)), tmp_path)
    page = (tmp_path / "comparison.html").read_text()
    names = {"pretrained", "random weights", "always the commonest class", "pretrained, frozen"}
    assert {name for name in names if f">{name}</text>" in page} == lines
    assert (said in page) == (said != "no learning curve")


def test_the_control_of_a_cross_validation_names_its_fold() -> None:
    control = Control.of(row("a", 0.7), learned(0.9), learned(0.6), 5, fold=1)
    assert (control.accuracy, control.end) == pytest.approx((0.9, 30.0))  # of the fold, and not of the row
    assert control.sentence().endswith("0.600 after 5 epochs, both in fold 1.")


def test_a_row_survives_the_disk(tmp_path: Path) -> None:
    assert Row.load(tmp_path) is None
    row("a", 0.9).save(tmp_path)
    assert Row.load(tmp_path) == row("a", 0.9)


def test_a_row_of_version_0_1_0_keeps_its_times(tmp_path: Path) -> None:
    replace(row("a", 0.9), feature_extraction_s=3.5).save(tmp_path)
    kept = (tmp_path / "row.json").read_text().replace("feature_extraction_s", "pass_s")
    (tmp_path / "row.json").write_text(kept)
    assert Row.load(tmp_path) == replace(row("a", 0.9), feature_extraction_s=3.5)


def test_the_files_say_the_same(tmp_path: Path) -> None:
    found = findings(
        [row("a", 0.95), row("b", 0.5), FAILED], Control.of(row("a", 0.95), learned(0.95, 0.9), learned(0.5, 0.4), 1)
    )
    write(found, tmp_path)
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


ALWAYS = {"class": "cat", "accuracy": 0.7, "below": False, "verdict": "better"}


@pytest.mark.parametrize(
    ("verdict", "accuracy", "said", "of_row"),
    [
        ("worse", 0.5, "No row is better than always predicting 'cat', which has an accuracy of 0.700", "worse than"),
        ("no better", 0.72, "No row is shown to be better than always predicting 'cat'", "no better than"),
        ("better", 0.9, "", ""),
    ],
)
def test_where_no_row_is_better_than_one_answer_for_all_that_is_said_first(
    tmp_path: Path, verdict: str, accuracy: float, said: str, of_row: str
) -> None:
    judged = {**ALWAYS, "verdict": verdict, "below": verdict == "worse"}
    found = findings([replace(row("a", accuracy), baseline=judged), replace(row("b", 0.3), baseline=judged)])
    assert found.advice().startswith(said)
    assert ("always predicting" in found.advice()) == bool(said)
    write(found, tmp_path)
    page = (tmp_path / "comparison.html").read_text().replace("&#39;", "'")
    first = page[page.index("</h1>") : page.index("<h2>")]  # what is read before the table
    assert (said in first, 'role="alert"' in first) == (True, bool(said))
    assert page.count("always one class") == page.count(f"{of_row} always one class") == 2 * bool(said)


def test_equal_findings_give_equal_pages(tmp_path: Path) -> None:
    pages = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        write(findings([row("a", 0.95), row("b", 0.5)]), tmp_path / name)
        pages.append((tmp_path / name / "comparison.html").read_bytes())
    assert pages[0] == pages[1]


@pytest.mark.parametrize(("seconds", "said"), [(0.4, "0 s"), (99, "99 s"), (720, "12 min"), (12600, "3.5 h")])
def test_durations_are_short(seconds: float, said: str) -> None:
    assert duration(seconds) == said
