"""A setting is inside its range or refused by name, and what a run was asked to do can be read back."""

from __future__ import annotations

import dataclasses
import json
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from regraft.cli import options
from regraft.config import ABOUT, EXCLUSIVE, PRESETS, Config, changed, command, option
from regraft.errors import ConfigError

RANGES = {name: about.within for name, about in ABOUT.items() if about.within}
FIELDS = {field.name: field for field in dataclasses.fields(Config)}
WHOLE = {name for name, field in FIELDS.items() if "int" in str(field.type)}


def values(name: str) -> st.SearchStrategy[Any]:
    """Whatever a setting may be."""
    field = FIELDS[name]
    if ABOUT[name].choices:
        return st.sampled_from(ABOUT[name].known)
    if name in RANGES:
        least, most = RANGES[name]
        most = 0.45 if name in ("val", "test") else most
        numbers: st.SearchStrategy[Any] = (
            st.integers(int(least), int(most)) if name in WHOLE else st.floats(least, most)
        )
        return numbers if field.default is not None else st.none() | numbers
    if name == "channels":
        return st.none() | st.lists(st.integers(0, 99), min_size=1, max_size=3).map(
            lambda them: ",".join(map(str, them))
        )
    if ABOUT[name].content:
        return st.none() | st.text("ab,. é\n").map(lambda rows: f"filename,label\n{rows}\n")
    if name == "range":
        return st.none() | st.tuples(st.integers(-99, 0), st.floats(0.5, 1e6)).map(lambda pair: f"{pair[0]}:{pair[1]}")
    if str(field.type) == "bool":
        return st.booleans()
    if name in ("split_from", "images"):
        return st.none() | st.text("abc/. é", min_size=1).map(Path)
    return st.text(max_size=10) if field.default is not None else st.none() | st.text(max_size=10)


@st.composite
def configs(draw: st.DrawFn) -> Config:
    chosen = draw(st.sets(st.sampled_from(sorted(FIELDS))))
    for left, right in EXCLUSIVE:
        if {left, right} <= chosen:
            chosen.discard(right)
    return Config(**{name: draw(values(name), label=name) for name in sorted(chosen)})


@given(config=configs())
def test_settings_come_back_as_they_were_written(config: Config) -> None:
    written = json.dumps(config.as_dict())
    assert Config.from_dict(json.loads(written)) == config
    assert Config.from_dict(json.loads(written)).as_dict() == config.as_dict()


@given(config=configs())
def test_a_suggested_command_is_read_by_a_shell_and_the_command_line_as_it_was_meant(config: Config) -> None:
    read: dict[str, Any] = {}

    def train(data: options.Data, *, requested: dict[str, Any]) -> None:
        read.update(requested, data=data)

    app = typer.Typer()
    app.command()(options.settings(train))
    regraft, name, *words = shlex.split(command("train", "my cells", **dataclasses.asdict(config)))
    app(words, standalone_mode=False)
    assert (regraft, name, read.pop("data")) == ("regraft", "train", Path("my cells"))
    assert Config(**read) == config


def test_a_path_may_be_text_or_a_path() -> None:
    assert Config(split_from="runs/a") == Config(split_from=Path("runs/a"))  # type: ignore[arg-type]
    assert Config(from_run=Path("runs/a")) == Config(from_run="runs/a")  # type: ignore[arg-type]
    assert Config(weights=Path("a.pth")) == Config(weights="a.pth")  # type: ignore[arg-type]
    assert Config(unfreeze=2) == Config(unfreeze="2")  # type: ignore[arg-type]


def test_settings_of_an_earlier_version_are_read_and_those_of_a_newer_one_are_refused_by_name() -> None:
    assert Config.from_dict({"epochs": 3}) == Config(epochs=3)
    with pytest.raises(ConfigError, match=r"does not know the settings from_the_future;.* Update Regraft\."):
        Config.from_dict({"epochs": 3, "from_the_future": 1})


@pytest.mark.parametrize("name", RANGES)
def test_a_value_outside_its_range_is_refused_by_name_with_the_range(name: str) -> None:
    least, most = RANGES[name]
    for value in (least - 1, most + 1, float("nan")):
        with pytest.raises(ConfigError, match=f"{name} is .*from {least} to {most}".replace("+", r"\+")):
            Config(**{name: value})


@pytest.mark.parametrize("name", sorted(set(RANGES) - {"val", "test"}))
def test_the_ends_of_a_range_are_inside(name: str) -> None:
    for value in RANGES[name]:
        Config(**{name: value})


@pytest.mark.parametrize("name", [name for name, about in ABOUT.items() if about.choices])
def test_a_choice_that_does_not_exist_is_refused_with_those_that_do(name: str) -> None:
    with pytest.raises(ConfigError, match=", ".join(ABOUT[name].known)):
        Config(**{name: "sometimes"})


@pytest.mark.parametrize(("left", "right"), EXCLUSIVE)
def test_settings_that_contradict_each_other_are_refused_by_name(left: str, right: str) -> None:
    some = {name: RANGES[name][1] if name in RANGES else "x" for name in (left, right)}
    with pytest.raises(ConfigError, match="contradict") as caught:
        Config(**some)
    assert f"{left}=" in str(caught.value)
    assert f"{right}=" in str(caught.value)
    Config(**{left: some[left]})
    Config(**{right: some[right]})


@pytest.mark.parametrize(("val", "test"), [(0.5, 0.5), (0.9, 0.2)])
def test_something_must_be_left_to_train_on(val: float, test: float) -> None:
    with pytest.raises(ConfigError, match="leave nothing to train on"):
        Config(val=val, test=test)


def test_a_setting_that_does_not_exist_is_no_setting() -> None:
    with pytest.raises(ConfigError, match="Did you mean epochs"):
        Config(epoch=3)  # type: ignore[call-arg]


def test_settings_are_only_read() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Config().epochs = 3  # type: ignore[misc]


@pytest.mark.parametrize("name", FIELDS)
def test_every_setting_has_help_a_group_and_an_option(name: str) -> None:
    assert ABOUT[name].described.endswith(".")
    assert ABOUT[name].group
    assert option(name).startswith("--")
    assert "_" not in option(name)


def test_channels_and_a_range_may_be_text_or_numbers() -> None:
    assert Config(channels=(0, 2, 1)).channels == Config(channels=[0, 2, 1]).channels == "0,2,1"  # type: ignore[arg-type]
    assert Config(channels=2).file_channels == Config(channels="2").file_channels == (2,)  # type: ignore[arg-type]
    assert Config(range=(-1, 1)).value_range == Config(range="-1:1").value_range == (-1.0, 1.0)  # type: ignore[arg-type]
    assert Config().file_channels is None
    assert Config().value_range is None


@pytest.mark.parametrize("wrong", ["", "a", "0,1,2,3", "-1", "0,,1", "1.5"])
def test_channels_that_cannot_be_read_are_refused(wrong: str) -> None:
    with pytest.raises(ConfigError, match="channels is"):
        Config(channels=wrong)


@pytest.mark.parametrize("wrong", ["", "5", "5:1", "1:1", "a:b", "nan:1", "0:inf", "0:1:2"])
def test_a_range_that_cannot_be_read_is_refused(wrong: str) -> None:
    with pytest.raises(ConfigError, match="range is"):
        Config(range=wrong)


# ---- presets ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_is_its_row_below_what_is_given_beside_it(preset: str) -> None:
    row = dict(PRESETS[preset])
    config = Config.of(preset=preset)
    assert {name: getattr(config, name) for name in row} == row
    assert replace(config, preset=None, **{name: getattr(Config(), name) for name in row}) == Config()
    for name in row:
        beside = Config.of(preset=preset, **{name: getattr(Config(), name)})
        assert getattr(beside, name) == (getattr(Config(), name) or row[name])  # None is nothing that is given
    assert Config.of(preset=preset, seed=3).seed == 3


@pytest.mark.parametrize("beside", [{}, {"tta": 1}, {"augment": "flip,crop", "epochs": 3}])
def test_the_command_of_a_run_with_a_preset_asks_for_the_same_settings(beside: dict[str, Any]) -> None:
    config = Config.of(preset="microscopy", **beside)
    assert Config.of(**changed(config.as_dict())) == config
    assert set(changed(config.as_dict())) == {"preset", *beside}
    assert Config.from_dict(config.as_dict()) == config


def test_without_a_preset_only_what_is_given_differs_from_the_defaults() -> None:
    assert Config.of(epochs=3, preset=None) == Config(epochs=3)
    with pytest.raises(ConfigError, match="expected one of microscopy"):
        Config.of(preset="telescopy")


def test_augmentations_may_be_a_list() -> None:
    assert Config.of(augment=["flip", "vflip"]) == Config(augment="flip,vflip")
