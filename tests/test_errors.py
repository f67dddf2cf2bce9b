"""Errors are caught by the names that Python has for them, and by ours."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import regraft
from regraft.errors import BundleError, ConfigError, DataError, RegraftError, RunError, UnknownName


@pytest.mark.parametrize("kind", [KeyError, ValueError, RegraftError])
def test_an_unknown_name_is_a_key_error_and_a_value_error_that_reads_as_a_sentence(kind: type[Exception]) -> None:
    with pytest.raises(kind) as caught:
        regraft.models("resnet99")
    assert str(caught.value).startswith("Unknown network 'resnet99'.")
    assert isinstance(caught.value, UnknownName)


def test_settings_that_cannot_be_are_value_errors() -> None:
    with pytest.raises(ValueError, match="--val is 2") as caught:
        regraft.Config(val=2)
    assert isinstance(caught.value, ConfigError)


@pytest.mark.parametrize(
    ("ask", "kind"),
    [
        (lambda missing: regraft.train(missing), DataError),
        (lambda missing: regraft.load(missing), BundleError),
        (lambda missing: regraft.predict(missing, [missing]), BundleError),
        (lambda missing: regraft.report(missing), RunError),
        (lambda missing: regraft.train(missing.parent, out=missing, resume=True), RunError),
    ],
)
def test_a_path_that_is_not_there_is_a_file_not_found_error(
    ask: Callable[[Path], object], kind: type[RegraftError], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match="nowhere") as caught:
        ask(tmp_path / "nowhere")
    assert isinstance(caught.value, kind)
