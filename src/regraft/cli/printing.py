"""Print what came of a command: tables and sentences for a reader, or one JSON object."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from regraft.config import command
from regraft.utils import streams, tables
from regraft.utils.streams import say

UNDEFINED = "–"


def print_run(run: Any, title: str, whole_s: float) -> None:
    """Print a run's figures; what is unfinished does not look finished."""
    if not run.stopped:  # else that is what comes first
        print_baseline(run)
    print_scores(f"UNFINISHED: {run.stopped}. {title}, so far" if run.stopped else title, run.test)
    print_threshold(run.threshold)
    print_tta(run)
    if run.stopped:
        print_baseline(run)
        say(f"\nUnfinished: {run.stopped}. These are not the figures of the finished run. It lies in {run.folder}")
    else:
        say(f"\n{_took(run, whole_s)} The run: {run.folder}{_report_of(run)}")


def print_baseline(run: Any) -> None:
    """Say first what was not tested, and what a model is not good for."""
    from rich.console import Console

    from regraft.metrics.baseline import sentences
    from regraft.metrics.functions import untested

    found = run.baseline and run.baseline.as_dict()
    for sentence in (*untested(run.test.per_class), *sentences(found, run.test.values["accuracy"])):
        Console(highlight=False).print(streams.printable(sentence), style="bold red", markup=False)


def _took(run: Any, whole_s: float) -> str:
    """Say how long the command took, and how much of it passed until the figures stood; not of a run that went on."""
    part = f", {run.seconds:.0f} s of it until the model was trained and tested" if run.seconds < whole_s else ""
    return f"Done in {whole_s:.0f} s{part}."


def _report_of(run: Any) -> str:
    page = run.folder / "report.html"
    return f"\nThe report: {page}" if page.exists() else ""


def print_folds(run: Any, whole_s: float) -> None:
    """Print the figures of each fold, their mean and deviation, and those of all predictions together."""
    measures = {"accuracy": "accuracy", "balanced_accuracy": "balanced", "macro_f1": "macro F1", "auroc": "AUROC"}
    measures["log_loss"] = "log loss"
    print_baseline(run)
    rows = [(f"fold {number}", str(fold.test.n), fold.test.values) for number, fold in enumerate(run.folds, start=1)]
    rows += [("mean", "", run.mean), ("± deviation", "", run.deviation)]
    tables.print_table(
        f"{run.backbone}, {run.method}: {len(run.folds)} folds, each tested by a model that has not seen it",
        ("", "pictures", *measures.values()),
        [(name, count, *(_number(values[measure]) for measure in measures)) for name, count, values in rows],
    )
    print_scores("All folds together", run.test, "pictures")
    print_threshold(run.threshold)
    print_tta(run)
    say(
        "The deviation: how much the figures vary from fold to fold. The interval: how sure those of all folds are.\n"
        f"\n{_took(run, whole_s)} The run: {run.folder}{_report_of(run)}\n"
        f"Each fold has a model of its own:  {command('predict', run.folds[0].folder, 'PICTURE_OR_FOLDER')}"
    )


def print_comparison(found: Any) -> None:
    """Print the rows of a comparison, the best first, what was dropped or failed, and the advice."""
    findings = found.findings
    without = ("at one look",) if findings.best.tta else ()
    header = ("network, method", "accuracy", "95 % interval", "AUROC", "ms a picture", "MB", *without)
    ties = findings.ties if len(findings.ties) > 1 else ()
    total = len(findings.rows) + findings.missing
    tables.print_table(
        f"{len(findings.done)} of {total} rows, the best first{' (*: cannot be told from the best)' * bool(ties)}",
        header,
        [
            (
                f"{row.backbone}, {row.method}" + " *" * (f"{row.backbone}-{row.method}" in ties),
                _number(row.accuracy),
                _interval(row.test["accuracy_ci"]),
                _number(row.test["auroc"]),
                f"{row.predict_ms:.1f}",
                f"{row.size_mb:.1f}",
                *([_number(row.accuracy_without_tta)] if without else []),
            )
            for row in findings.done
        ],
    )
    for row in findings.rows:
        if row.status == "dropped":
            say(f"{row.backbone}, {row.method} was dropped: {row.reason}.")
    if failed := sum(row.status == "failed" for row in findings.rows):
        say(f"{failed} rows failed; leaderboard.csv has the reasons.")
    say(findings.advice())
    say(f"\nThe comparison: {found.folder / 'comparison.html'}")


FIRST = 3  # findings of each kind that a table in the terminal shows


def print_check(found: Any) -> None:
    """Print the first findings of each kind, and what they come to."""
    from regraft.audit.kinds import KINDS

    audit = found.audit
    counts = audit.counts()
    rows = [
        (KINDS[kind].of(counts[kind]) if not position else "", str(counts[kind]) if not position else "", found.said)
        for kind in counts
        for position, found in enumerate(audit.gathered(kind)[:FIRST])
    ]
    if rows:
        total = sum(counts.values())
        title = f"{total} findings, the first few of each kind" if total > 1 else "1 finding"
        tables.print_table(title, ("kind", "found", "such as"), rows, text=2)
    say("\n".join([audit.summary(), audit.balance(), *audit.notices]))
    say(f"\nThe check: {found.folder / 'check.html'}")


def print_models(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print the networks with the columns that the window has room for."""
    from rich.console import Console

    from regraft.catalog import table

    titles, cells, left_out = table.fitting(rows, Console().width)
    tables.print_table(f"{len(rows)} network{'s' * (len(rows) != 1)}", titles, cells)
    if left_out:
        say(f"A wider window, or --json, has {', '.join(left_out)} too.")


def print_json(values: dict[str, Any]) -> None:
    """Print one JSON object in which nothing commands a terminal."""
    say(streams.printable_json(json.dumps(values, ensure_ascii=False)))


def print_scores(title: str, scores: Any, what: str = "test pictures") -> None:
    """Print the figures with their intervals, and those of each class where a reader can still take them in."""
    from regraft.metrics.intervals import these_groups

    of, header = [scores.intervals], ["95 % interval (over pictures)"]
    if scores.these:
        of, header = [*of, scores.these], ["95 %, groups to come", f"95 %, {these_groups(scores.groups)}"]
    rows = [
        (name.replace("_", " "), _number(value), *(_interval(intervals[name]) for intervals in of))
        for name, value in scores.values.items()
    ]
    tables.print_table(f"{title}: {scores.n} {what}", ("measure", "value", *header), rows)
    classes = [
        (row["label"], _number(row["precision"]), _number(row["recall"]), _number(row["f1"]), str(row["support"]))
        for row in scores.per_class
        if row["support"]
    ]
    if len(classes) <= 40:
        tables.print_table("", ("class", "precision", "recall", "F1", "pictures"), classes)


def print_threshold(found: dict[str, Any] | None) -> None:
    """Print from which probability on a class is predicted, and what that reaches."""
    if found is None:
        return
    from regraft.metrics.thresholds import TARGETS

    value = f"from a probability of {found['value']:.3g} on" if "value" in found else "from each fold's threshold on"
    parts = {name: found[part] for name, part in (("validation", "val"), ("test", "test")) if part in found}
    tables.print_table(
        f"{found['positive']!r} is predicted {value}, for a {found['target']} of {found['wanted']:g}",
        ("measure", *(title for name in parts for title in (name, "95 % interval"))),
        [
            (name, *(cell for part in parts.values() for cell in (_number(part[name]), _interval(part[f"{name}_ci"]))))
            for name in TARGETS
        ],
    )
    if any(part[name] is not None and part[f"{name}_ci"][0] is None for part in parts.values() for name in TARGETS):
        say(f"{UNDEFINED}: the pictures counted are of too few groups to show how others vary.")
    if fitted := found.get("fitted_on"):
        say(f"Fitted on {fitted['positive']} {found['positive']!r} and {fitted['other']} other validation pictures.")


def print_tta(run: Any) -> None:
    """Print how often each picture was looked at, and what one look gives."""
    from regraft.metrics.tta import sentence

    if said := sentence(run.tta, run.test.values["accuracy"]):
        say(said)


def print_abstain(found: Any) -> None:
    """Print how many pictures get a prediction, and how many of these are correct."""
    if found.abstain is None:
        return
    tables.print_table(
        f"Predicted where the highest probability is {found.abstain['below']:g} or more: "
        f"{found.abstain['n_answered']} of {found.test.n} pictures",
        ("measure", "value", "95 % interval"),
        [
            (name, _number(found.abstain[name]), _interval(found.abstain[f"{name}_ci"]))
            for name in ("coverage", "accuracy")
        ],
    )


def _number(value: float | None) -> str:
    return UNDEFINED if value is None or value != value else f"{value:.3f}"


def _interval(bounds: tuple[float, float]) -> str:
    low, high = map(_number, bounds)
    return low if low == high == UNDEFINED else f"{low} to {high}"


def print_recommendation(found: Any) -> None:
    """Print the networks of a recommendation, the most promising first, and what to do next."""
    tables.print_table(
        f"{len(found.candidates)} networks on {found.sample} of {found.pictures} pictures, the most promising first",
        ("network", "linear probe", "LogME", "pass over all", "ms a picture", "memory MB", "MB"),
        [
            (
                one.backbone,
                f"{one.probe:.3f} ± {one.probe_error:.3f}",
                f"{one.logme:.3f}",
                f"{one.feature_extraction_s:.0f} s",
                f"{one.predict_ms:.1f}",
                f"{one.memory_mb:.0f}",
                f"{one.size_mb:.1f}",
            )
            for one in found.candidates
        ],
    )
    say(found.advice())


def print_explained(rows: tables.Rows, label: str | None, table: str) -> None:
    """Print what each picture was taken for, or what speaks for `label`, and where its heat map lies."""
    asked = "" if label is None else "what speaks for "
    for row in rows:
        said = f"{asked}{row['label']}, {row['prob']:.3f}" if row["label"] else f"cannot be read: {row['error']}"
        drawn = f" -> {row['heatmap']}" if row["heatmap"] else ", and no place speaks for it" if row["label"] else ""
        say(f"{row['filename']}: {said}{drawn}")
    if maps := [row["heatmap"] for row in rows if row["heatmap"]]:
        say("Left the picture, right its heat map: the brighter a place, the more it speaks for the class.")
        say(f"\nThe table: {Path(maps[0]).parent / table}")


def print_demo(rows: tables.Rows) -> None:
    """Print the predictions for a few drawn pictures."""
    tables.print_table(
        "Held-out pictures (synthetic)",
        ("picture", "predicted", "probability"),
        [(row["filename"], row["label"] or UNDEFINED, f"{row['prob']:.3f}") for row in rows],
    )


def print_export(found: Any) -> None:
    """Print what was written, and how it answers."""
    say(f"{found.file}: {found.format}, {found.precision}, {found.megabytes:.1f} MB")
    say(found.takes)
    say(str(found.verification))
