"""Read the command line: results to stdout, progress to stderr; 0 done, 1 an error the user can mend, 2 wrong usage."""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
import sys
import warnings
from collections.abc import Callable, Collection, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer
from typer.core import TyperGroup

from regraft.config import OF_ONE_NETWORK, READING, Config, command
from regraft.errors import ConfigError, NotWritten, RegraftError, reason_of
from regraft.utils import stopping, streams, tables
from regraft.utils.files import FULL
from regraft.utils.streams import one_line, say, say_aside
from regraft.utils.version import __version__


class Commands(TyperGroup):
    """The commands; Ctrl-C, and what ends a command like it, is answered here, before it becomes a bare exit status."""

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override]
        """Run a command."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as stop:
            next_step = stop.args or (_GOES_ON,) * (ctx.invoked_subcommand in ("train", "compare", "check", "features"))
            _end(" ".join(["Stopped.", *next_step]), stopping.status())


_GOES_ON = "What the frozen part computed is kept; the same command goes on from there."

UNDEFINED = "–"

app = typer.Typer(
    cls=Commands,
    help="Transfer learning for image classification: what is frozen runs once.",
    epilog="Exit status: 0 done; 1 an error that you can mend, such as a missing file or a value that a setting cannot "
    "have, told in one line; 2 a command line that cannot be read: an unknown command or option, a missing argument, "
    "no number, or none in the range that --help shows; 130 stopped with Ctrl-C, 143 by SIGTERM, 129 by SIGHUP. "
    "With --traceback, anywhere on the line, an error shows where it came from.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={
        "token_normalize_func": lambda token: token.replace("_", "-"),
        "help_option_names": ["-h", "--help"],
    },
)


FIELDS = tuple(spec.name for spec in dataclasses.fields(Config))
FILES = ("channels", "range", "max_megapixels")
MACHINE = ("device", "engine", "keep", "keep_dtype", "cache_limit")


def settings(
    command: Callable[..., None], *, only: Collection[str] = FIELDS, without: Collection[str] = ()
) -> Callable[..., None]:
    """Give a command one option per field of `Config`; it receives those that the user gave as ``given``."""
    hints = get_type_hints(Config)
    own = [
        parameter
        for parameter in inspect.signature(command, eval_str=True).parameters.values()
        if parameter.name != "given"
    ]
    fields = [spec for spec in dataclasses.fields(Config) if spec.name in only and spec.name not in without]
    options = [
        inspect.Parameter(
            spec.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=Annotated[
                _optional(hints[spec.name]),
                typer.Option(*_flags(spec), help=_help(spec), rich_help_panel=spec.metadata["group"]),
            ],
        )
        for spec in fields
    ]

    def run(**values: Any) -> None:
        given = {spec.name: value for spec in fields if (value := values.pop(spec.name)) is not None}
        command(**values, given=given)

    run.__doc__, run.__name__ = command.__doc__, command.__name__
    run.__signature__ = inspect.Signature([*own, *options])  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in (*own, *options)}
    return run


def _optional(hint: Any) -> Any:
    return hint if type(None) in getattr(hint, "__args__", ()) else hint | None


def _flags(spec: dataclasses.Field[Any]) -> list[str]:
    return [spec.metadata["option"] or "--" + spec.name.replace("_", "-")]


def _help(spec: dataclasses.Field[Any]) -> str:
    shown = spec.default is not None and spec.default is not False
    return f"{spec.metadata['help']}{f' [default: {spec.default}]' if shown else ''}"


Data = Annotated[
    Path,
    typer.Argument(
        metavar="DATA",
        help="DATA/<class>/<picture>, DATA/{train,val,test}/<class>/<picture>, or a table (CSV, Excel, Parquet …).",
        show_default=False,
    ),
]
Model = Annotated[
    str,
    typer.Argument(metavar="MODEL", help="A run or bundle folder, or the name of a network.", show_default=False),
]
Pictures = Annotated[list[Path], typer.Argument(metavar="PICTURE|FOLDER...", show_default=False)]
Backbones = Annotated[
    str,
    typer.Option(
        "--backbones", help="Names joined by commas; available: those with weights here; families: one of each."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or mps.")]
Engine = Annotated[str, typer.Option("--engine", help="What runs the network: auto, torch or onnxruntime (CPU).")]
AbstainBelow = Annotated[
    float | None,
    typer.Option(
        "--abstain-below",
        metavar="P",
        min=0.0,
        max=1.0,
        help="Give no label where the highest probability is below P: such pictures are for a human.",
    ),
]
Views = Annotated[
    int,
    typer.Option(
        "--tta",
        metavar="V",
        help="Answer from the mean over V views of each picture, drawn as in training: V times as long.",
    ),
]
Weights = Annotated[str | None, typer.Option("--weights", help="Where a pretrained network's tensors come from.")]


@app.command(rich_help_panel="Everyday")
@settings
def train(
    data: Data,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="RUN", help="The run folder. Default: runs/<name of DATA>.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a run that was stopped.")] = False,
    report: Annotated[bool, typer.Option("--report/--no-report", help="Write report.html at the end.")] = True,
    as_json: Json = False,
    *,
    given: dict[str, Any],
) -> None:
    """Train a classifier on your pictures and keep it, with its figures, in a run folder."""
    _preflight(data, given)

    from regraft.experiments import train as training

    run = training.train(data, out=out, resume=resume, progress=_progress(), report=report, **given)
    if as_json:
        _print_json(run.as_dict())
    elif run.folds:
        _print_folds(run)
    else:
        _print_run(run, f"{run.backbone}, {run.method}")
        if not run.stopped:
            say(f"Try it:  {command('predict', run.folder, 'PICTURE_OR_FOLDER')}")
    if run.interrupted:
        _end(f"Stopped. Go on with: {command('train', data, '--out', run.folder, '--resume')}", stopping.status())


def _print_run(run: Any, title: str) -> None:
    """Print a run's figures; what is unfinished does not look finished."""
    if not run.stopped:  # else that is what comes first
        _print_baseline(run)
    _print_scores(f"UNFINISHED: {run.stopped}. {title}, so far" if run.stopped else title, run.test)
    _print_threshold(run.threshold)
    if run.stopped:
        _print_baseline(run)
        say(f"\nUnfinished: {run.stopped}. These are not the figures of the finished run. It lies in {run.folder}")
    else:
        say(f"\nTrained in {run.seconds:.0f} s. The run: {run.folder}{_report_of(run)}")


def _print_baseline(run: Any) -> None:
    """Say first what was not tested, and what a model is not good for."""
    from rich.console import Console

    from regraft.metrics.baseline import sentences
    from regraft.metrics.functions import untested

    found = run.baseline and run.baseline.as_dict()
    for sentence in (*untested(run.test.per_class), *sentences(found, run.test.values["accuracy"])):
        Console(highlight=False).print(streams.printable(sentence), style="bold red", markup=False)


def _report_of(run: Any) -> str:
    page = run.folder / "report.html"
    return f"\nThe report: {page}" if page.exists() else ""


def _print_folds(run: Any) -> None:
    measures = {"accuracy": "accuracy", "balanced_accuracy": "balanced", "macro_f1": "macro F1", "auroc": "AUROC"}
    measures["log_loss"] = "log loss"
    _print_baseline(run)
    rows = [(f"fold {number}", str(fold.test.n), fold.test.values) for number, fold in enumerate(run.folds, start=1)]
    rows += [("mean", "", run.mean), ("± deviation", "", run.deviation)]
    tables.print_table(
        f"{run.backbone}, {run.method}: {len(run.folds)} folds, each tested by a model that has not seen it",
        ("", "pictures", *measures.values()),
        [(name, count, *(_number(values[measure]) for measure in measures)) for name, count, values in rows],
    )
    _print_scores("All folds together", run.test, "pictures")
    _print_threshold(run.threshold)
    say(
        "The deviation: how much the figures vary from fold to fold. The interval: how sure those of all folds are.\n"
        f"\nTrained in {run.seconds:.0f} s. The run: {run.folder}{_report_of(run)}\n"
        f"Each fold has a model of its own:  {command('predict', run.folds[0].folder, 'PICTURE_OR_FOLDER')}"
    )


@app.command(rich_help_panel="Everyday")
@partial(settings, without=OF_ONE_NETWORK)
def compare(
    data: Data,
    backbones: Backbones = "available",
    methods: Annotated[str, typer.Option("--methods", help="Names joined by commas.")] = "frozen,finetuned,features",
    budget: Annotated[
        str, typer.Option("--budget", metavar="TIME", help="Such as 30m or 2h: what does worst early on is dropped.")
    ] = "",
    control_epochs: Annotated[
        int | None,
        typer.Option(
            "--control-epochs",
            min=0,
            help="Of the control: the best network, or the smallest of its ties, from random weights; 0: none. "
            "Default: 5, more where pictures are few.",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="DIR", help="Default: comparisons/<name of DATA>.")
    ] = None,
    as_json: Json = False,
    *,
    given: dict[str, Any],
) -> None:
    """Train many networks with many methods on one split and say which is best, and by how much."""
    budget_s = _seconds(budget) if budget else None
    _preflight(data, given, backbones=backbones, named=methods)

    from regraft.experiments import comparison

    found = comparison.compare(
        data,
        backbones=backbones,
        methods=methods,
        budget_s=budget_s,
        control_epochs=control_epochs,
        out=out,
        progress=_progress(),
        **given,
    )
    if as_json:
        _print_json(found.as_dict())
    else:
        _print_comparison(found)
    if found.interrupted:
        _end(f"Stopped. {_GOES_ON}", stopping.status())


def _seconds(text: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh])", text.strip())
    if match is None:
        raise ConfigError(f"--budget is {text!r}; expected a number with s, m or h behind it, such as 30m.")
    return float(match[1]) * {"s": 1, "m": 60, "h": 3600}[match[2]]


def _print_comparison(found: Any) -> None:
    header = ("network, method", "accuracy", "95 % interval", "AUROC", "ms a picture", "MB")
    findings = found.findings
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


@app.command(rich_help_panel="Everyday")
@partial(settings, only=(*READING, *FILES, "allow_bad", "img_size", "fit", "seed", *MACHINE))
def recommend(
    data: Data,
    backbones: Backbones = "available",
    sample: Annotated[int, typer.Option("--sample", min=30, help="Pictures that each network sees.")] = 1000,
    as_json: Json = False,
    *,
    given: dict[str, Any],
) -> None:
    """Rank networks on a sample of your pictures, before anything is trained."""
    _preflight(data, given, backbones=backbones)

    from regraft.experiments import recommendation

    found = recommendation.recommend(data, backbones=backbones, sample=sample, progress=_progress(), **given)
    if as_json:
        _print_json(found.as_dict())
        return
    tables.print_table(
        f"{len(found.candidates)} networks on {found.sample} of {found.pictures} pictures, the most promising first",
        ("network", "linear probe", "LogME", "pass over all", "ms a picture", "memory MB", "MB"),
        [
            (
                one.backbone,
                f"{one.probe:.3f} ± {one.probe_error:.3f}",
                f"{one.logme:.3f}",
                f"{one.pass_s:.0f} s",
                f"{one.predict_ms:.1f}",
                f"{one.memory_mb:.0f}",
                f"{one.size_mb:.1f}",
            )
            for one in found.candidates
        ],
    )
    say(found.advice())


@app.command(rich_help_panel="Everyday")
@partial(
    settings,
    only=("backbone", "weights", "from_run", *READING, *FILES, "split_from", "img_size", "fit", "seed", *MACHINE),
)
def check(
    data: Data,
    fail_on: Annotated[
        str,
        typer.Option(
            "--fail-on", metavar="KINDS", help="End with status 1 on these findings, such as leak,label-conflict."
        ),
    ] = "",
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="DIR", help="Default: checks/<name of DATA>.")
    ] = None,
    as_json: Json = False,
    *,
    given: dict[str, Any],
) -> None:
    """Find what may mislead a training: bad files, duplicates, leaks between parts, wrong labels, outliers."""
    _preflight(data, given)

    from regraft.experiments import checking

    unwanted = [kind.strip() for kind in fail_on.split(",") if kind.strip()]
    found = checking.check(data, out=out, fail_on=unwanted, progress=_progress(), **given)
    if as_json:
        _print_json(found.as_dict())
    else:
        _print_check(found)
    if found.failed_on:
        say_aside(f"Failed on: {', '.join(found.failed_on)}.")
        raise typer.Exit(1)


FIRST = 3  # findings of each kind that a table in the terminal shows


def _print_check(found: Any) -> None:
    from regraft.audit.judging import NAMES

    audit = found.audit
    counts = audit.counts()
    rows = [
        (NAMES[kind][counts[kind] != 1] if not position else "", str(counts[kind]) if not position else "", found.said)
        for kind in counts
        for position, found in enumerate(audit.gathered(kind)[:FIRST])
    ]
    if rows:
        total = sum(counts.values())
        title = f"{total} findings, the first few of each kind" if total > 1 else "1 finding"
        tables.print_table(title, ("kind", "found", "such as"), rows, text=2)
    say("\n".join([audit.summary(), audit.balance(), *audit.notices]))
    say(f"\nThe check: {found.folder / 'check.html'}")


@app.command(rich_help_panel="Everyday")
def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a finished run.", show_default=False)],
    as_json: Json = False,
) -> None:
    """Write a run's report.html anew: figures in plain words, curves, mistakes and hits with heat maps, model card."""
    from regraft.reports import run_page

    page = run_page.report(run, progress=_progress())
    if as_json:
        _print_json({"report": str(page)})
    else:
        say(page)


@app.command("eval", rich_help_panel="Everyday")
@partial(settings, only=(*READING, *FILES))
def evaluate(
    model: Model,
    data: Data,
    known_only: Annotated[
        bool, typer.Option("--known-only", help="Leave out pictures of classes that the model does not know.")
    ] = False,
    tta: Views = 1,
    abstain_below: AbstainBelow = None,
    weights: Weights = None,
    device: Device = "auto",
    as_json: Json = False,
    *,
    given: dict[str, Any],
) -> None:
    """Measure a model on labelled pictures: all of them, or the test part where there is one."""
    _preflight_model(model)

    from regraft.inference import predict

    progress = _progress()
    found = predict.evaluate(
        model,
        data,
        known_only=known_only,
        tta=tta,
        abstain_below=abstain_below,
        weights=weights,
        device=device,
        progress=progress,
        **given,
    )
    for name, reason in found.skipped.items():
        progress.warn(f"{name} is left out: {reason}.")
    if as_json:
        _print_json(found.as_dict())
    else:
        _print_baseline(found)
        _print_scores(f"{model} on {data}", found.test, "pictures")
        _print_threshold(found.threshold)
        _print_abstain(found)


@app.command(rich_help_panel="Everyday")
@partial(settings, only=FILES)
def predict(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="A run or bundle folder, or the name of a network (ImageNet classes).",
            show_default=False,
        ),
    ],
    pictures: Pictures,
    top: Annotated[int, typer.Option("--top", min=1, help="How many classes for each picture.")] = 1,
    form: Annotated[str, typer.Option("--format", help="table, csv, json or parquet.")] = "",
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Write to this file instead of the terminal.")
    ] = None,
    tta: Views = 1,
    abstain_below: AbstainBelow = None,
    weights: Weights = None,
    device: Device = "auto",
    as_json: Json = False,
    *,
    given: dict[str, Any],
) -> None:
    """Say what is on pictures. A picture that cannot be read gets a row with the reason; status 1 if none can be."""
    _preflight_model(model)

    from regraft.inference import bundle, predict

    form = "json" if as_json else tables.format_of(form, output)
    tables.check_writable(output)
    rows = predict.predict(
        model,
        pictures,
        top=top,
        tta=tta,
        abstain_below=abstain_below,
        weights=weights,
        device=device,
        progress=_progress(),
        **given,
    )
    tables.write(rows, form, output, bundle.unfinished(Path(model)))
    if all(row["error"] for row in rows):
        _end("None of these pictures can be read.", 1)


@app.command(rich_help_panel="Everyday")
@partial(settings, only=FILES)
def explain(
    model: Model,
    pictures: Pictures,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", metavar="FOLDER", help="The folder to make. Default: heatmaps.")
    ] = None,
    label: Annotated[
        str | None, typer.Option("--label", metavar="CLASS", help="The class to explain. Default: the answer.")
    ] = None,
    layer: Annotated[
        str | None,
        typer.Option(
            "--layer",
            metavar="STAGE",
            help="Where to look; earlier stages are finer and know less. Default: the one before the last.",
        ),
    ] = None,
    weights: Weights = None,
    device: Device = "auto",
    as_json: Json = False,
    *,
    given: dict[str, Any],
) -> None:
    """Draw where pictures speak for the answer: each beside its heat map, in a new folder."""
    _preflight_model(model)

    from regraft.inference import bundle, explain

    rows = explain.explain(
        model,
        pictures,
        out=out,
        label=label,
        layer=layer,
        weights=weights,
        device=device,
        progress=_progress(),
        **given,
    )
    if as_json:
        _print_json({**bundle.unfinished(Path(model)), "rows": list(rows)})
        return
    asked = "" if label is None else "what speaks for "
    for row in rows:
        said = f"{asked}{row['label']}, {row['prob']:.3f}" if row["label"] else f"cannot be read: {row['error']}"
        drawn = f" -> {row['heatmap']}" if row["heatmap"] else ", and no place speaks for it" * bool(row["label"])
        say(f"{row['filename']}: {said}{drawn}")
    if maps := [row["heatmap"] for row in rows if row["heatmap"]]:
        say("Left the picture, right its heat map: the brighter a place, the more it speaks for the class.")
        say(f"\nThe table: {Path(maps[0]).parent / explain.ROWS}")


@app.command(rich_help_panel="Everyday")
@partial(settings, only=FILES)
def features(
    model: Model,
    pictures: Pictures,
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="F.npz|F.parquet", help="The file to write.", show_default=False)
    ],
    layer: Annotated[
        str | None, typer.Option("--layer", metavar="STAGE", help="The stage to take. Default: the last one.")
    ] = None,
    pool: Annotated[
        bool, typer.Option("--pool/--no-pool", help="The mean over height and width, or the whole maps.")
    ] = True,
    weights: Weights = None,
    img_size: Annotated[
        int | None, typer.Option("--img-size", help="Side in pixels of the square that the network sees.")
    ] = None,
    device: Device = "auto",
    engine: Engine = "auto",
    cache_limit: Annotated[
        float, typer.Option("--cache-limit", help="Most gigabytes that kept rows may take on disk, over all runs.")
    ] = Config.cache_limit,
    as_json: Json = False,
    *,
    given: dict[str, Any],
) -> None:
    """Write what a network makes of pictures, a row for each. Pictures that cannot be read are left out and named."""
    from regraft.utils import arrays

    arrays.writer_of(output)  # what would be refused at the end is refused before torch is loaded
    tables.check_writable(output)
    _preflight_model(model)

    from regraft.inference import features

    written = features.extract(
        model,
        pictures,
        output,
        layer=layer,
        pool=pool,
        weights=weights,
        img_size=img_size,
        device=device,
        engine=engine,
        cache_limit=cache_limit,
        progress=_progress(),
        **given,
    )
    if as_json:
        _print_json(written.as_dict())
    else:
        say(f"{output}: {' x '.join(map(str, written.shape))}")


@app.command(rich_help_panel="Set-up")
def models(
    pattern: Annotated[
        str | None,
        typer.Argument(metavar="[PATTERN]", help="Part of a name, or a pattern such as 'resnet*'.", show_default=False),
    ] = None,
    sort: Annotated[
        str, typer.Option("--sort", metavar="COLUMN", help="A column by its title, or by its name in --json.")
    ] = "top1",
    family: Annotated[
        str | None, typer.Option("--family", metavar="NAME", help="Only networks of this family.")
    ] = None,
    available: Annotated[
        bool, typer.Option("--available", help="Only networks whose weights are on this machine now.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show every network: ImageNet accuracy, size, depth, cost, licence, and whether its weights are here."""
    from regraft import catalog

    rows = catalog.models(pattern, family=family, available=available, sort=sort)
    if as_json:
        _print_json({"rows": rows})
    else:
        _print_models(rows)


def _print_models(rows: Sequence[dict[str, Any]]) -> None:
    from rich.console import Console

    from regraft.catalog import table

    titles, cells, left_out = table.fitting(rows, Console().width)
    tables.print_table(f"{len(rows)} network{'s' * (len(rows) != 1)}", titles, cells)
    if left_out:
        say(f"A wider window, or --json, has {', '.join(left_out)} too.")


weights_app = typer.Typer(no_args_is_help=True)
app.add_typer(
    weights_app, name="weights", help="Show, download and import pretrained weights.", rich_help_panel="Set-up"
)


@weights_app.command("list")
def list_weights(
    pattern: Annotated[
        str | None,
        typer.Argument(
            metavar="[PATTERN]",
            help="Part of a name, or a pattern such as 'resnet*': also shows what is not here, and its source.",
            show_default=False,
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show the weights that are on this machine, how large they are and where they lie."""
    from regraft.catalog import stock

    rows = stock.weights(pattern)
    if as_json:
        _print_json({"rows": rows})
        return
    say(stock.as_text(rows))
    if pattern is None:
        say("\nregraft weights list '*' shows all networks, with the sources of what is not here.")


@weights_app.command("pull")
def pull_weights(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Networks.", show_default=False)],
) -> None:
    """Download weights now, so that later commands need no network. What is here already is left alone."""
    from regraft import weights

    failures: list[RegraftError | OSError] = []
    for name in names:
        try:
            pulled = weights.pull(name)
            say(
                f"{name}: downloaded and checked, {pulled.source}, licence {pulled.licence}"
                if pulled
                else f"{name}: already on this machine ({weights.available(name)[0]})"
            )
        except (RegraftError, OSError) as error:
            failures.append(error)
    for failure in failures[:-1]:
        say_aside(f"Error: {_one_line(failure)}")
    if failures:
        raise failures[-1]


@weights_app.command("import")
def import_weights(
    file: Annotated[Path, typer.Argument(metavar="FILE", help=".safetensors, .pth or .pt.", show_default=False)],
    name: Annotated[str, typer.Option("--as", metavar="NAME", help="The network.", show_default=False)],
    force: Annotated[bool, typer.Option("--force", help="Replace what was imported for it before.")] = False,
) -> None:
    """Check that a file of tensors fits a network and keep it, so that --backbone NAME finds it by itself."""
    from regraft import weights
    from regraft.backbones.families import canonical
    from regraft.catalog import locations

    before = locations.own_file(canonical(name))
    path, found = weights.import_file(file, name, force=force)
    say(f"{path.stem}: checked and kept as {path}")
    if not found.has_classifier:
        say("It brings no ImageNet head: it can be trained on, but regraft predict has no classes to answer with.")
    if before:
        _progress().warn(f"{before} comes before it, as long as REGRAFT_WEIGHTS names that folder.")
    say(f"Try it:  regraft train DATA --backbone {path.stem}")


@app.command(rich_help_panel="Set-up")
def doctor(as_json: Json = False) -> None:
    """Show versions, devices and the weights that are on this machine."""
    from regraft.cli import doctor as examination

    found = examination.examine()
    if as_json:
        _print_json(found)
    else:
        say(examination.as_text(found))


@app.command(rich_help_panel="Set-up")
def demo(
    out: Annotated[Path, typer.Option("--out", help="The folder for the pictures and the run.")] = Path("demo"),
    difficulty: Annotated[float, typer.Option("--difficulty", min=0.0, max=1.0, help="0 is easy, 1 is hard.")] = 1.0,
    per_class: Annotated[int, typer.Option("--per-class", min=20, help="Pictures of each class.")] = 300,
    seed: Annotated[int, typer.Option("--seed", help="Decides the pictures and the training.")] = 0,
) -> None:
    """Draw synthetic stained cells, train on them offline and predict a few held-out ones."""
    from regraft.cli import demo as show

    run, rows = show.demo(out, difficulty=difficulty, per_class=per_class, seed=seed, progress=_progress())
    tables.print_table(
        "Held-out pictures (synthetic)",
        ("picture", "answer", "probability"),
        [(row["filename"], row["label"] or UNDEFINED, f"{row['prob']:.3f}") for row in rows],
    )
    _print_run(run, f"{run.backbone}, {run.method}, on synthetic cells")
    if run.stopped:
        _end("Stopped.", stopping.status())


def _preflight(data: Path, given: dict[str, Any], **named: str) -> None:
    from regraft.experiments.preflight import preflight

    preflight(data, given, **named)


def _preflight_model(model: str) -> None:
    from regraft.experiments.preflight import preflight_model

    preflight_model(model)


def _progress() -> Any:
    from regraft.utils.progress import TerminalProgress

    return TerminalProgress()


def _print_json(values: dict[str, Any]) -> None:
    say(streams.printable_json(json.dumps(values, ensure_ascii=False)))


def _print_scores(title: str, scores: Any, what: str = "test pictures") -> None:
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


def _print_threshold(found: dict[str, Any] | None) -> None:
    if found is None:
        return
    from regraft.metrics.thresholds import TARGETS

    value = f"from a probability of {found['value']:.3g} on" if "value" in found else "from each fold's threshold on"
    parts = {name: found[part] for name, part in (("validation", "val"), ("test", "test")) if part in found}
    tables.print_table(
        f"{found['positive']!r} is answered {value}, for a {found['target']} of {found['wanted']:g}",
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


def _print_abstain(found: Any) -> None:
    if found.abstain is None:
        return
    tables.print_table(
        f"Answered where the highest probability is {found.abstain['below']:g} or more: "
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


def _version(wanted: bool) -> None:
    if wanted:
        say(f"regraft {__version__}")
        raise typer.Exit


@app.callback()
def top_level(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Transfer learning for image classification: what is frozen runs once."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; ``--traceback``, anywhere, shows where an error came from."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    show = "--traceback" in given
    warnings.filterwarnings("ignore", module=r"PIL\.")  # what is odd in a picture is in its own reason
    with streams.guarded() as output:
        try:
            try:
                with stopping.like_ctrl_c():
                    app([argument for argument in given if argument != "--traceback"], prog_name="regraft")
            finally:
                output.deliver()
        except (RegraftError, OSError) as error:
            if show:
                raise
            _end(f"Error: {_one_line(error)}", 1)


def _one_line(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno in FULL and error.filename and not isinstance(error, NotWritten):
        error = NotWritten(error.filename, error.errno)
    if isinstance(error, RegraftError):
        return one_line(" ".join(str(error).split("\n")))
    where = getattr(error, "filename", None) or "The system"
    return one_line(f"{where}: {reason_of(error)}. --traceback shows where.")


def _end(line: str, status: int) -> None:
    say_aside(line)
    raise SystemExit(status)
