"""Read the command line: results to stdout, progress to stderr; 0 done, 1 an error the user can mend, 2 wrong usage."""

from __future__ import annotations

import re
import sys
import time
import warnings
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from regraft.audit.kinds import KINDS
from regraft.cli.options import (
    AbstainBelow,
    Backbones,
    Data,
    Json,
    Model,
    Pictures,
    Verbose,
    Views,
    completing_names,
    settings,
)
from regraft.cli.printing import (
    print_abstain,
    print_baseline,
    print_check,
    print_comparison,
    print_demo,
    print_explained,
    print_export,
    print_folds,
    print_json,
    print_models,
    print_recommendation,
    print_run,
    print_scores,
    print_threshold,
    print_tta,
)
from regraft.config import ABOUT, command
from regraft.errors import ConfigError, NotWritten, RegraftError, WeightsMissing, reason_of, told_by_options
from regraft.utils import plugins, stopping, streams, tables
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
            goes_on = [_GOES_ON] if ctx.invoked_subcommand in ("train", "compare", "check", "features") else []
            _end(" ".join(["Stopped.", *(stop.args or goes_on)]), stopping.status())


_GOES_ON = "What the frozen part computed is kept; the same command goes on from there."


EVERYDAY, SET_UP = "Everyday", "Set-up"  # what the commands are listed under

START = """\
Where to start:

  regraft demo                           train on drawn cells, offline
  regraft check cells/                   what may mislead in these pictures
  regraft train cells/                   a model with its report, in runs/cells
  regraft predict runs/cells photo.png   what is on a picture

regraft --help lists all commands, regraft COMMAND --help what one takes."""


def example(line: str) -> str:
    """Return what the help of a command ends with."""
    return f"Example: {line}"


app = typer.Typer(
    cls=Commands,
    help="Transfer learning for image classification: what is frozen runs once.",
    epilog="Exit status: 0 done; 1 an error that you can mend, such as a missing file or a value that a setting cannot "
    "have, told in one line; 2 a command line that cannot be read: an unknown command or option, a missing argument, "
    "no number, or none in the range that --help shows; 130 stopped with Ctrl-C, 143 by SIGTERM, 129 by SIGHUP. "
    "With --traceback, anywhere on the line, an error shows where it came from.",
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    context_settings={
        "token_normalize_func": lambda token: token.replace("_", "-"),
        "help_option_names": ["-h", "--help"],
    },
)


@app.command(rich_help_panel=EVERYDAY, epilog=example("regraft train cells/ --model mobilenet_v2 --method finetuned"))
@partial(settings, file=True)
def train(
    ctx: typer.Context,
    data: Data,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="RUN", help="The run folder. Default: runs/<name of DATA>.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a run that was stopped.")] = False,
    report: Annotated[bool, typer.Option("--report/--no-report", help="Write report.html at the end.")] = True,
    verbose: Verbose = False,
    as_json: Json = False,
    *,
    requested: dict[str, Any],
) -> None:
    """Train a classifier on your pictures and keep it, with its figures, in a run folder."""
    from regraft.experiments import api

    run = api.train(data, out=out, resume=resume, progress=_progress(verbose), report=report, **requested)
    if as_json:
        print_json(run.as_dict())
    elif run.folds:
        print_folds(run, _seconds_since_start(ctx))
    else:
        print_run(run, f"{run.backbone}, {run.method}", _seconds_since_start(ctx))
        if not run.stopped:
            say(f"Try it:  {command('predict', run.folder, 'PICTURE_OR_FOLDER')}")
    if run.interrupted:
        _end(f"Stopped. Go on with: {command('train', data, '--out', run.folder, '--resume')}", stopping.status())


@app.command(rich_help_panel=EVERYDAY, epilog=example("regraft compare cells/ --backbones families --budget 2h"))
@partial(settings, of="compare", file=True)
def compare(
    data: Data,
    backbones: Backbones = "available",
    methods: Annotated[
        str,
        typer.Option(
            "--methods",
            help=f"Names joined by commas: {ABOUT['method'].described}",
            autocompletion=completing_names("method"),
        ),
    ] = "frozen,finetuned,features",
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
    verbose: Verbose = False,
    as_json: Json = False,
    *,
    requested: dict[str, Any],
) -> None:
    """Train many networks with many methods on one split and say which is best, and by how much."""
    from regraft.experiments import api

    found = api.compare(
        data,
        backbones=backbones,
        methods=methods,
        budget_s=_seconds(budget) if budget else None,
        control_epochs=control_epochs,
        out=out,
        progress=_progress(verbose),
        **requested,
    )
    if as_json:
        print_json(found.as_dict())
    else:
        print_comparison(found)
    if found.interrupted:
        _end(f"Stopped. {_GOES_ON}", stopping.status())


def _seconds(text: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh])", text.strip())
    if match is None:
        raise ConfigError(f"--budget is {text!r}; expected a number with s, m or h behind it, such as 30m.")
    return float(match[1]) * {"s": 1, "m": 60, "h": 3600}[match[2]]


@app.command(rich_help_panel=EVERYDAY, epilog=example("regraft recommend cells/"))
@partial(settings, of="recommend", file=True)
def recommend(
    data: Data,
    backbones: Backbones = "available",
    sample: Annotated[int, typer.Option("--sample", min=30, help="Pictures that each network sees.")] = 1000,
    verbose: Verbose = False,
    as_json: Json = False,
    *,
    requested: dict[str, Any],
) -> None:
    """Rank networks on a sample of your pictures, before anything is trained."""
    from regraft.experiments import api

    found = api.recommend(data, backbones=backbones, sample=sample, progress=_progress(verbose), **requested)
    if as_json:
        print_json(found.as_dict())
        return
    print_recommendation(found)


@app.command(rich_help_panel=EVERYDAY, epilog=example("regraft check cells/ --fail-on leak,label-conflict"))
@partial(settings, of="check", file=True)
def check(
    data: Data,
    fail_on: Annotated[
        str,
        typer.Option(
            "--fail-on",
            metavar="KINDS",
            help=f"End with status 1 on these findings, joined by commas, such as leak,label-conflict. "
            f"All kinds: {', '.join(KINDS)}.",
        ),
    ] = "",
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="DIR", help="Default: checks/<name of DATA>.")
    ] = None,
    verbose: Verbose = False,
    as_json: Json = False,
    *,
    requested: dict[str, Any],
) -> None:
    """Find what may mislead a training: bad files, duplicates, leaks between parts, wrong labels, outliers."""
    from regraft.experiments import api

    found = api.check(data, out=out, fail_on=fail_on, progress=_progress(verbose), **requested)
    if as_json:
        print_json(found.as_dict())
    else:
        print_check(found)
    if found.failed_on:
        say_aside(f"Failed on: {', '.join(found.failed_on)}.")
        raise typer.Exit(1)


@app.command(rich_help_panel=EVERYDAY, epilog=example("regraft report runs/cells"))
def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a finished run.", show_default=False)],
    as_json: Json = False,
) -> None:
    """Write a run's report.html anew: figures in plain words, curves, pictures with heat maps, model card."""
    from regraft import run_folder

    run_folder.read_json(run / run_folder.SETTINGS)  # that there is no run is told before what draws is loaded
    from regraft.reports import run_page

    page = run_page.report(run, progress=_progress())
    if as_json:
        print_json({"report": str(page)})
    else:
        say(page)


@app.command("eval", rich_help_panel=EVERYDAY, epilog=example("regraft eval runs/cells more_labelled_cells/"))
@partial(settings, of="eval")
def evaluate(
    model: Model,
    data: Data,
    known_only: Annotated[
        bool, typer.Option("--known-only", help="Leave out pictures of classes that the model does not know.")
    ] = False,
    tta: Views = None,
    abstain_below: AbstainBelow = None,
    as_json: Json = False,
    *,
    requested: dict[str, Any],
) -> None:
    """Measure a model on labelled pictures: all of them, or the test part where there is one."""
    from regraft.data import as_source
    from regraft.inference import predict

    predict.preflight_model(model)
    as_source(data)

    how: dict[str, Any] = {"known_only": known_only, "tta": tta, "abstain_below": abstain_below}
    found = predict.evaluate(model, data, **how, progress=_progress(), **requested)
    if as_json:
        print_json(found.as_dict())
    else:
        print_baseline(found)
        print_scores(f"{model} on {data}", found.test, "pictures")
        print_threshold(found.threshold)
        print_tta(found)
        print_abstain(found)


@app.command(rich_help_panel=EVERYDAY, epilog=example("regraft predict runs/cells new_pictures/ -o predictions.csv"))
@partial(settings, of="predict")
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
    form: Annotated[str, typer.Option("--format", help="table, csv, json, jsonl or parquet.")] = "",
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            help="Write to this file instead of the terminal: any number of pictures; what was stopped goes on.",
        ),
    ] = None,
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="Also those of all classes, in columns prob_CLASS.")
    ] = False,
    tta: Views = None,
    abstain_below: AbstainBelow = None,
    as_json: Json = False,
    *,
    requested: dict[str, Any],
) -> None:
    """Say what is on pictures. A picture that cannot be read gets a row with the reason; status 1 if none can be."""
    form = "json" if as_json else tables.format_of(form, output)
    tables.check_writable(output)
    from regraft.inference import about, predict

    how: dict[str, Any] = {"top": top, "tta": tta, "abstain_below": abstain_below, "probabilities": probabilities}
    how |= {"progress": _progress(), **requested}
    if output is None:
        rows = predict.predict(model, pictures, **how)
        tables.write(rows, form, about.unfinished(Path(model)))
        none = all(row["error"] for row in rows)
    else:
        found = predict.predict(model, pictures, out=output, format=form, **how)
        none = found.unreadable == found.pictures
    if none:
        _end("None of these pictures can be read.", 1)


@app.command(rich_help_panel=EVERYDAY, epilog=example("regraft explain runs/cells new_pictures/ -o heatmaps"))
@partial(settings, of="explain")
def explain(
    model: Model,
    pictures: Pictures,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", metavar="FOLDER", help="The folder to make. Default: heatmaps.")
    ] = None,
    label: Annotated[
        str | None, typer.Option("--label", metavar="CLASS", help="The class to explain. Default: the predicted one.")
    ] = None,
    layer: Annotated[
        str | None,
        typer.Option(
            "--layer",
            metavar="STAGE",
            help="Where to look; earlier stages are finer and know less. Default: the one before the last.",
        ),
    ] = None,
    as_json: Json = False,
    *,
    requested: dict[str, Any],
) -> None:
    """Draw where pictures speak for the prediction: each beside its heat map, in a new folder."""
    from regraft.inference import about, explain

    rows = explain.explain(model, pictures, out=out, label=label, layer=layer, progress=_progress(), **requested)
    if as_json:
        print_json({**about.unfinished(Path(model)), "rows": list(rows)})
        return
    print_explained(rows, label, explain.ROWS)


@app.command(rich_help_panel=EVERYDAY, epilog=example("regraft features vgg16 cells/ -o cells.npz"))
@partial(settings, of="features")
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
    verbose: Verbose = False,
    as_json: Json = False,
    *,
    requested: dict[str, Any],
) -> None:
    """Write what a network makes of pictures, a row for each. Pictures that cannot be read are left out and named."""
    from regraft.utils import arrays

    arrays.writer_of(output)  # what would be refused at the end is refused before torch is loaded
    tables.check_writable(output)
    from regraft.inference import features

    progress = _progress(verbose)
    written = features.extract(model, pictures, output, layer=layer, pool=pool, progress=progress, **requested)
    if as_json:
        print_json(written.as_dict())
    else:
        say(f"{output}: {' x '.join(map(str, written.shape))}")


@app.command(rich_help_panel=EVERYDAY, epilog=example("regraft export runs/cells --format onnx"))
@partial(settings, of="export")
def export(
    model: Model,
    form: Annotated[str, typer.Option("--format", help=f"{', '.join(plugins.names('regraft.exporters'))}.")] = "onnx",
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help="Default: exports/<name of MODEL>/model.onnx …"),
    ] = None,
    precision: Annotated[
        str, typer.Option("--precision", help="float32; float16, half as large; int8, a quarter (onnx).")
    ] = "float32",
    asked: Annotated[
        str,
        typer.Option("--input", help="any: pictures of any size; square: the resize is left to the program around it."),
    ] = "any",
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            metavar="DATA",
            help="Labelled pictures to try the file on, and to calibrate int8. Default: those of the run.",
            show_default=False,
        ),
    ] = None,
    as_json: Json = False,
    *,
    requested: dict[str, Any],
) -> None:
    """Write a model as one file for other programs, and try whether it gives the same answers there."""
    from regraft.exporters import _export as exporting

    found = exporting.export(
        model,
        format=form,
        out=output,
        precision=precision,
        input=asked,
        data=data,
        progress=_progress(),
        **requested,
    )
    if as_json:
        print_json(found.as_dict())
    else:
        print_export(found)


@app.command(rich_help_panel=EVERYDAY, epilog=example("regraft serve runs/cells --port 8000"))
@partial(settings, of="serve")
def serve(
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL...",
            help="Run or bundle folders, exported .onnx files, networks; the first answers where none is named.",
            show_default=False,
        ),
    ],
    host: Annotated[
        str, typer.Option("--host", metavar="ADDRESS", help="Who may ask: 127.0.0.1 this machine alone, 0.0.0.0 all.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0: any that is free.")] = 8000,
    token: Annotated[
        str | None,
        typer.Option(
            "--token",
            envvar="REGRAFT_TOKEN",
            metavar="TEXT",
            help="Answer only who knows it; REGRAFT_TOKEN in the environment keeps it out of lists of processes.",
            show_default=False,
        ),
    ] = None,
    max_mb: Annotated[int, typer.Option("--max-mb", min=1, max=1000, help="Largest request, in megabytes.")] = 32,
    max_pictures: Annotated[int, typer.Option("--max-pictures", min=1, help="Most pictures of a request.")] = 64,
    queue: Annotated[
        int, typer.Option("--queue", min=1, help="Pictures that wait for a model; then clients are to ask again.")
    ] = 256,
    batch: Annotated[
        int, typer.Option("--batch", min=1, max=1024, help="Most pictures, of all clients, that are run together.")
    ] = 8,
    timeout: Annotated[
        float, typer.Option("--timeout", metavar="S", min=1, help="Seconds to send a request, and to answer it.")
    ] = 30.0,
    *,
    requested: dict[str, Any],
) -> None:
    """Answer over HTTP what is on pictures, with a web page to drop them on, until Ctrl-C or SIGTERM."""
    from regraft.inference.predict import preflight_model

    for model in models:
        preflight_model(model)
    from regraft.serve.server import Address, Limits, serve

    limits = Limits(max_mb, max_pictures, queue, batch, timeout)
    serve(models, Address(host, port, token), limits, requested, _progress())


@app.command(rich_help_panel=EVERYDAY, epilog=example("regraft push runs/cells hf://me/cells"))
def push(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a finished run.", show_default=False)],
    to: Annotated[
        str, typer.Argument(metavar="hf://USER/NAME|FOLDER", help="Where to, or a new folder.", show_default=False)
    ],
    public: Annotated[bool, typer.Option("--public", help="Let everyone see it. Default: only you.")] = False,
    as_json: Json = False,
) -> None:
    """Publish a run's model with a model card on the Hugging Face hub, or write the same into a folder."""
    from regraft.experiments import pushing

    found = pushing.push(run, to, public=public)
    if as_json:
        print_json(found.as_dict())
        return
    say(f"{found.run} is now {found.url or found.to}")
    say(f"Try it:  {command('predict', found.to, 'PICTURE_OR_FOLDER')}")


@app.command(rich_help_panel=SET_UP, epilog=example("regraft models 'resnet*' --available"))
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
        print_json({"rows": rows})
    else:
        print_models(rows)


weights_app = typer.Typer(no_args_is_help=True)
app.add_typer(weights_app, name="weights", help="Show, download and import pretrained weights.", rich_help_panel=SET_UP)


@weights_app.command("list", epilog=example("regraft weights list 'resnet*'"))
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
        print_json({"rows": rows})
        return
    say(stock.as_text(rows))
    if pattern is None:
        say("\nregraft weights list '*' shows all networks, with the sources of what is not here.")


@weights_app.command("pull", epilog=example("regraft weights pull resnet50 mobilenet_v2"))
def pull_weights(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Networks.", show_default=False)],
) -> None:
    """Download weights now, so that later commands need no network. What is here already is left alone."""
    from regraft import catalog

    failures: list[RegraftError | OSError] = []
    for name in names:
        try:
            catalog.check(name)
            from regraft.weights import loading

            pulled = loading.pull(name)
            say(
                f"{name}: downloaded and checked, {pulled.source}, licence {pulled.licence}"
                if pulled
                else f"{name}: already on this machine ({loading.available(name)[0]})"
            )
        except (RegraftError, OSError) as error:
            failures.append(error)
    for failure in failures[:-1]:
        say_aside(f"Error: {_one_line(failure)}")
    if failures:
        raise failures[-1]


@weights_app.command("import", epilog=example("regraft weights import resnet50_lab.pth --as resnet50"))
def import_weights(
    file: Annotated[Path, typer.Argument(metavar="FILE", help=".safetensors, .pth or .pt.", show_default=False)],
    name: Annotated[str, typer.Option("--as", metavar="NAME", help="The network.", show_default=False)],
    force: Annotated[bool, typer.Option("--force", help="Replace what was imported for it before.")] = False,
) -> None:
    """Check that a file of tensors fits a network and keep it, so that --backbone NAME finds it by itself."""
    from regraft import catalog

    catalog.check(name)
    if not file.is_file():
        raise WeightsMissing(f"There is no file {file}. Expected tensors: a .safetensors, .pth or .pt file.")
    from regraft.backbones.families import canonical
    from regraft.weights import importing, locations

    before = locations.own_file(canonical(name))
    path, found = importing.import_file(file, name, force=force)
    say(f"{path.stem}: checked and kept as {path}")
    if not found.has_classifier:
        say("It brings no ImageNet head: it can be trained on, but regraft predict has no classes to predict.")
    if before:
        _progress().warn(f"{before} comes before it, as long as REGRAFT_WEIGHTS names that folder.")
    say(f"Try it:  regraft train DATA --backbone {path.stem}")


@app.command(rich_help_panel=SET_UP, epilog=example("regraft doctor"))
def doctor(as_json: Json = False) -> None:
    """Show versions, devices and the weights that are on this machine."""
    from regraft.cli import doctor as examination

    found = examination.examine()
    if as_json:
        print_json(found)
    else:
        say(examination.as_text(found))


@app.command(rich_help_panel=SET_UP, epilog=example("regraft demo --out demo"))
def demo(
    ctx: typer.Context,
    out: Annotated[Path, typer.Option("--out", help="The folder for the pictures and the run.")] = Path("demo"),
    difficulty: Annotated[float, typer.Option("--difficulty", min=0.0, max=1.0, help="0 is easy, 1 is hard.")] = 1.0,
    per_class: Annotated[int, typer.Option("--per-class", min=20, help="Pictures of each class.")] = 300,
    seed: Annotated[int, typer.Option("--seed", help="Decides the pictures and the training.")] = 0,
    verbose: Verbose = False,
) -> None:
    """Draw synthetic stained cells, train on them offline and predict a few held-out ones."""
    from regraft.cli import demo as show

    run, rows = show.demo(out, difficulty=difficulty, per_class=per_class, seed=seed, progress=_progress(verbose))
    print_demo(rows)
    print_run(run, f"{run.backbone}, {run.method}, on synthetic cells", _seconds_since_start(ctx))
    if run.stopped:
        _end("Stopped.", stopping.status())


def _progress(verbose: bool = False) -> Any:
    from regraft.utils.progress import TerminalProgress

    return TerminalProgress(verbose=verbose)


def _seconds_since_start(ctx: typer.Context) -> float:
    return time.monotonic() - float(ctx.obj)


def _version(wanted: bool) -> None:
    if wanted:
        say(f"regraft {__version__}")
        raise typer.Exit


@app.callback()
def top_level(
    ctx: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", "-V", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Transfer learning for image classification: what is frozen runs once."""
    if ctx.invoked_subcommand is None:
        _end(START, 2)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; ``--traceback``, anywhere, shows where an error came from."""
    started = time.monotonic()
    words = list(sys.argv[1:] if arguments is None else arguments)
    show = "--traceback" in words
    warnings.filterwarnings("ignore", module=r"PIL\.")  # what is odd in a picture is in its own reason
    with told_by_options(), streams.guarded() as output:
        try:
            try:
                with stopping.like_ctrl_c():
                    app([argument for argument in words if argument != "--traceback"], prog_name="regraft", obj=started)
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
