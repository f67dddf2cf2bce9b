"""Errors are caught by the names that Python has for them, and by ours."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import get_type_hints

import pytest

import regraft
from regraft.config import ABOUT, Config, option
from regraft.errors import (
    OTHER_KEYWORDS,
    BundleError,
    ConfigError,
    DataError,
    RegraftError,
    RunError,
    UnknownName,
    told_by_options,
)


@pytest.mark.parametrize("kind", [KeyError, ValueError, RegraftError])
def test_an_unknown_name_is_a_key_error_and_a_value_error_that_reads_as_a_sentence(kind: type[Exception]) -> None:
    with pytest.raises(kind) as caught:
        regraft.models("resnet99")
    assert str(caught.value).startswith("Unknown network 'resnet99'.")
    assert isinstance(caught.value, UnknownName)


def test_settings_that_cannot_be_are_value_errors() -> None:
    with pytest.raises(ValueError, match="val is 2") as caught:
        regraft.Config(val=2)
    assert isinstance(caught.value, ConfigError)


@pytest.mark.parametrize(
    ("ask", "kind"),
    [
        (lambda missing: regraft.train(missing), DataError),
        (lambda missing: regraft.load(missing), BundleError),
        (lambda missing: regraft.predict(missing, [__file__]), BundleError),
        (lambda missing: regraft.report(missing), RunError),
        (lambda missing: regraft.train(missing.parent / "drawn", out=missing, resume=True), RunError),
    ],
)
def test_a_path_that_is_not_there_is_a_file_not_found_error(
    ask: Callable[[Path], object], kind: type[RegraftError], drawn: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(drawn.parent)
    with pytest.raises(FileNotFoundError, match="nowhere") as caught:
        ask(drawn.parent / "nowhere")
    assert isinstance(caught.value, kind)


def test_what_is_wrong_with_data_or_a_model_is_a_value_error(drawn: Path, tmp_path: Path) -> None:
    """One class alone, no label column, an expression that is none, no picture, a file that is no picture."""
    broken, table, bundle = tmp_path / "broken.png", tmp_path / "table.csv", tmp_path / "run"
    broken.write_bytes(b"no picture")
    table.write_text("colour,mass\nred,1\nblue,2\n")
    bundle.mkdir()
    (bundle / "bundle.json").write_text("no JSON")
    asks: list[Callable[[], object]] = [
        lambda: regraft.train(drawn / "red"),
        lambda: regraft.train(table),
        lambda: regraft.train(drawn, groups="(["),
        lambda: regraft.features("squeezenet1_1", [], weights="random"),
        lambda: regraft.features("squeezenet1_1", [broken], weights="random"),
        lambda: regraft.load(bundle),
    ]
    for ask in asks:
        with pytest.raises(ValueError) as caught:
            ask()
        assert isinstance(caught.value, RegraftError)


def test_every_kind_of_error_is_reached_from_the_package() -> None:
    code = """
import regraft
print(regraft.errors.BadImage.__name__, regraft.errors.ConfigError is regraft.ConfigError)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["BadImage", "True"]


TOLD = {
    "Name one: --label-column dx.": "Name one: label_column='dx'.",
    "or name it: --label-column NAME": "or name it: label_column=NAME",
    "--folds and --test contradict each other.": "folds= and test= contradict each other.",
    "--val is 2; expected less.": "val is 2; expected less.",
    "compare makes no use of --method. Name some with --methods.": "compare makes no use of method=. "
    "Name some with methods=.",
    "Here, --method=features makes no use of --epochs.": "Here, method='features' makes no use of epochs=.",
    "--range has no effect.": "range= has no effect.",
    "Choose some: --channels 0,1,2, or one of 0 to 4": "Choose some: channels='0,1,2', or one of 0 to 4",
    "--groups '^C\\d+' keeps them apart": "groups='^C\\d+' keeps them apart",
    "Leave out --resume, or --from.": "Leave out resume=True, or from_run=.",
    "--config runs/a/config.json is a folder.": "config='runs/a/config.json' is a folder.",
    "Leave out --out runs/a.b/c.": "Leave out out='runs/a.b/c'.",
    "Go on with: regraft train 'my cells' --out runs/a.b --resume": "Go on with: "
    "regraft train 'my cells' --out runs/a.b --resume",
    "Update it: pip install --upgrade regraft": "Update it: pip install --upgrade regraft",
}


@pytest.mark.parametrize("said", TOLD)
def test_errors_name_options_on_the_command_line_and_keywords_in_python(said: str) -> None:
    error = ConfigError(said)
    with told_by_options():
        assert str(error) == said
    assert str(error) == TOLD[said]


def test_options_that_take_no_value_or_have_another_name_are_known() -> None:
    hints = get_type_hints(Config)
    odd = {option(name).removeprefix("--") for name in ABOUT if hints[name] is bool or ABOUT[name].option}
    assert odd <= OTHER_KEYWORDS.keys()
