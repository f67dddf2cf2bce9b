"""A file of settings says what options would have said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regraft.cli import settings_file
from regraft.config import Config, changed
from regraft.errors import ConfigError, UnknownName

MINE = """\
model: vgg16
method: finetuned
label-smoothing: 0.2
epochs: 3
class_weights: on       # no truth value
range: 1:30             # no number of seconds
channels: [2, 0, 1]
augment: [flip, turn]
allow_bad: yes
groups:                 # nothing: not given
split_from: parts.csv
"""


def written(folder: Path, text: str, name: str = "mine.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_values_are_read_as_they_would_be_behind_options(tmp_path: Path) -> None:
    found = settings_file.read(written(tmp_path, MINE))
    assert found == {
        "backbone": "vgg16",
        "method": "finetuned",
        "label_smoothing": 0.2,
        "epochs": 3,
        "class_weights": "on",
        "range": "1:30",
        "channels": "2,0,1",
        "augment": "flip,turn",
        "allow_bad": True,
        "split_from": Path("parts.csv"),
    }
    assert Config(**found).epochs == 3


@given(
    settings=st.fixed_dictionaries(
        {},
        optional={
            "epochs": st.integers(1, 99),
            "lr": st.floats(1e-6, 1.0),
            "groups": st.sampled_from([r"^C\d+", "a: b", "ü", "on"]),
            "allow_bad": st.booleans(),
            "unfreeze": st.sampled_from(["2", "all"]),
        },
    )
)
def test_what_a_run_writes_means_the_same_again(settings: dict[str, object], tmp_path_factory) -> None:
    config = Config(**settings)  # type: ignore[arg-type]
    about = {"data": "/cells", "working_folder": "", "settings": config.as_dict(), "plan": {"cut": 4}}
    path = written(tmp_path_factory.mktemp("run"), json.dumps(about), "config.json")
    found = settings_file.read(path)
    assert Config(**found) == config
    assert found == changed(config.as_dict())  # what was not asked for is not asked for again


def test_paths_of_a_run_start_where_it_was_begun(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    settings = Config(from_run="runs", weights=None, images=Path("gone")).as_dict()
    path = written(tmp_path, json.dumps({"working_folder": str(tmp_path), "settings": settings}), "config.json")
    assert settings_file.read(path) == {"from_run": str(tmp_path / "runs"), "images": "gone"}


def test_options_given_beside_a_file_win(tmp_path: Path) -> None:
    path = written(tmp_path, "epochs: 3\nunfreeze: 2\nseed: 7\n")
    found = settings_file.beside(path, {"epochs": 5, "train_layers": 4}, {"epochs", "unfreeze", "train_layers", "seed"})
    assert found == {"epochs": 5, "train_layers": 4, "seed": 7}  # --unfreeze would contradict --train-layers


def test_what_a_command_has_no_use_for_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path, "label_smoothing: 0.2\nseed: 7\n")
    assert settings_file.beside(path, {}, {"seed"}) == {"seed": 7}
    assert capsys.readouterr().err == f"Note: {path} sets --label-smoothing, which this command makes no use of.\n"


def test_an_unknown_setting_is_refused_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="Did you mean epochs") as refused:
        settings_file.read(written(tmp_path, "epoch: 3"))
    assert "mine.yaml" in str(refused.value)


@pytest.mark.parametrize(
    ("text", "name", "said"),
    [
        ("epochs: many", "a.yaml", "epochs is 'many'; expected a whole number"),
        ("epochs: 2.5", "a.yaml", "expected a whole number"),
        ('{"epochs": true}', "a.json", "epochs is True; expected a whole number"),
        ("val: {a: 1}", "a.yaml", "expected a number"),
        ("allow_bad: perhaps", "a.yaml", "expected true or false"),
        ('{"class_weights": true}', "a.json", "expected text"),
        ("- epochs", "a.yaml", "holds no settings"),
        ("epochs: [", "a.yaml", "cannot be read"),
        ("{", "a.json", "cannot be read"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_one_line(tmp_path: Path, text: str, name: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as refused:
        settings_file.read(written(tmp_path, text, name))
    assert "\n" not in str(refused.value)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"gone\.yaml' cannot be read"):
        settings_file.read(tmp_path / "gone.yaml")


def test_the_command_line_takes_a_file_and_the_settings_that_a_run_has_written(regraft, shapes, tmp_path) -> None:
    mine = written(tmp_path, "method: features\nimg_size: 64\nseed: 3\n")
    assert regraft("train", shapes, "--config", mine, "--seed", 4, "--no-report", "--out", tmp_path / "a").status == 0
    again = ("--config", tmp_path / "a" / "config.json", "--no-report", "--out", tmp_path / "b")
    assert regraft("train", *again).status == 0  # it names the data too
    first, second = (json.loads((tmp_path / run / "config.json").read_text())["settings"] for run in "ab")
    assert first == second
    assert (first["method"], first["img_size"], first["seed"]) == ("features", 64, 4)
    refused = regraft("train", shapes, "--config", mine, "--method", "frozn")
    assert (refused.status, "Did you mean frozen" in refused.err) == (1, True)


def test_data_are_those_of_the_command_line_or_else_of_the_file(regraft, tmp_path: Path) -> None:
    mine = written(tmp_path, "data: nowhere\nepochs: 2\n")
    assert settings_file.read(mine) == {"epochs": 2}
    assert "nowhere does not exist" in regraft("check", "--config", mine).err
    assert "elsewhere does not exist" in regraft("check", "elsewhere", "--config", mine).err


def test_data_that_neither_names_are_said_to_be_missing(regraft, tmp_path: Path) -> None:
    mine = written(tmp_path, "epochs: 2\n")
    answer = regraft("train", "--config", mine)
    assert answer.status == 2
    assert "Invalid value for 'DATA': it is missing" in answer.err


def test_a_folder_is_no_file_of_settings_and_its_own_is_named(tmp_path: Path) -> None:
    own = written(tmp_path, "{}", "config.json")
    with pytest.raises(ConfigError, match=f"is a folder. Expected a file of settings: {own}"):
        settings_file.read(tmp_path)


def test_what_a_command_takes_for_itself_is_said_to_be_no_setting(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"'out', which is no setting: give it on the command line"):
        settings_file.read(written(tmp_path, "out: runs/a"))
