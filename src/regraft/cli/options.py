"""Say what the command line takes: one option per setting of `Config`, and the arguments that commands share."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from regraft import catalog
from regraft.cli import settings_file
from regraft.config import ABOUT, Config, option


def settings(command: Callable[..., None], *, of: str = "train", file: bool = False) -> Callable[..., None]:
    """Give a command one option per field of `Config` that is one `of` it; it receives those given as ``requested``.

    With `file` it also takes ``--config FILE``, whose settings stand where no option is given.
    """
    hints = get_type_hints(Config)
    own = [
        parameter
        for parameter in inspect.signature(command, eval_str=True).parameters.values()
        if parameter.name != "requested"
    ]
    fields = [spec for spec in dataclasses.fields(Config) if of in ABOUT[spec.name].use.commands]
    taken = {spec.name for spec in fields}
    # what it refuses is read, so that what to do instead is said
    fields += [spec for spec in dataclasses.fields(Config) if of in ABOUT[spec.name].instead and spec.name not in taken]
    options = [
        inspect.Parameter(
            spec.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=Annotated[
                _optional(hints[spec.name]),
                typer.Option(
                    *_flags(spec),
                    help=_help(spec),
                    rich_help_panel=ABOUT[spec.name].group,
                    hidden=spec.name not in taken,
                    autocompletion=_completing(spec.name),
                ),
            ],
        )
        for spec in fields
    ]
    if file:
        options.insert(0, inspect.Parameter("config", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=File))
        own = [one.replace(default=None, annotation=OptionalData) if one.name == "data" else one for one in own]

    def run(config: Path | None = None, **values: Any) -> None:
        requested = {spec.name: value for spec in fields if (value := values.pop(spec.name)) is not None}
        if config:
            requested = settings_file.beside(config, requested, taken)
        command(**values, requested=requested)

    run.__doc__, run.__name__ = command.__doc__, command.__name__
    run.__signature__ = inspect.Signature([*own, *options])  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in (*own, *options)}
    return run


def _completing(name: str) -> Callable[[str], list[str]] | None:
    """Return what completes a setting's value in a shell; None where it may be anything."""
    if not ABOUT[name].known and name != "backbone":
        return None
    return lambda incomplete: [one for one in _known(name) if one.startswith(incomplete)]


def completing_names(name: str, *more: str) -> Callable[[str], list[str]]:
    """Return what completes, in a shell, the last of several values of a setting that are joined by commas."""

    def complete(incomplete: str) -> list[str]:
        before, comma, begun = incomplete.rpartition(",")
        return [f"{before}{comma}{one}" for one in (*more, *_known(name)) if one.startswith(begun)]

    return complete


def _known(name: str) -> Sequence[str]:
    return [row["name"] for row in catalog.read()] if name == "backbone" else ABOUT[name].known


def _optional(hint: Any) -> Any:
    return hint if type(None) in getattr(hint, "__args__", ()) else hint | None


def _flags(spec: dataclasses.Field[Any]) -> list[str]:
    return [flag for flag in (option(spec.name), ABOUT[spec.name].also) if flag]


def _help(spec: dataclasses.Field[Any]) -> str:
    shown = spec.default is not None and spec.default is not False
    return f"{ABOUT[spec.name].described}{f' Default: {spec.default}.' if shown else ''}"


File = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="Settings from a file (YAML or JSON), such as a run's config.json; options given beside it win.",
        is_eager=True,  # what is missing beside it may be in it
    ),
]
_ABOUT_DATA: dict[str, Any] = {
    "metavar": "DATA",
    "help": "DATA/<class>/<picture>, DATA/{train,val,test}/<class>/<picture>, or a table (CSV, Excel, Parquet …).",
    "show_default": False,
}


def _or_of_file(ctx: typer.Context, data: Path | None) -> Path | None:
    """Return the data that are named on the command line, or else in the file of settings.

    Raises:
        BadParameter: in neither.
    """
    if data is not None or ctx.resilient_parsing:
        return data
    file: Path | None = ctx.params.get("config")
    found = settings_file.data_of(file) if file else None
    if found is None:
        raise typer.BadParameter(f"it is missing{f', and {file} has no data: either' if file else ''}.")
    return found


Data = Annotated[Path, typer.Argument(**_ABOUT_DATA)]
OptionalData = Annotated[Path | None, typer.Argument(**_ABOUT_DATA, callback=_or_of_file)]
"""Of commands that take ``--config``: its file may name them."""
Model = Annotated[
    str,
    typer.Argument(
        metavar="MODEL", help="A run or bundle folder, hf://user/name, or the name of a network.", show_default=False
    ),
]
Pictures = Annotated[list[str], typer.Argument(metavar="PICTURE|FOLDER|LIST...", show_default=False)]
Backbones = Annotated[
    str,
    typer.Option(
        "--backbones",
        "--models",
        help="Names joined by commas; available: those with weights here; families: one of each.",
        autocompletion=completing_names("backbone", "available", "families"),
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", help="Also say which stages train and why outputs are kept or not.")
]
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
    int | None,
    typer.Option(
        "--tta",
        metavar="V",
        help="Predict from the mean over V views of each picture, mirrored and turned as in training: V times as long. "
        "1: from the plain picture alone. Default: as the model was trained to predict.",
    ),
]
