"""Whatever is wrong with a call of a public function is said by name, before anything is looked for."""

from __future__ import annotations

import inspect
import pickle
from typing import Any

import pytest
from sklearn.base import clone

import regraft
from regraft.errors import ConfigError

FUNCTIONS = [name for name in regraft.__all__ if inspect.isfunction(getattr(regraft, name))]
CLASSES = ["Config", "RegraftClassifier", "FeatureExtractor"]


@pytest.mark.parametrize("name", [*FUNCTIONS, *CLASSES])
def test_every_misspelt_keyword_is_told_with_the_nearest(name: str) -> None:
    """Of every function and every class that is called, each of its arguments by one letter less."""
    called = getattr(regraft, name)
    for known, one in inspect.signature(called).parameters.items():
        if one.kind is one.KEYWORD_ONLY:
            with pytest.raises(ConfigError, match=rf"{name} has no setting '{known}x'\. Did you mean .*{known}"):
                called(**{f"{known}x": 1})


@pytest.mark.parametrize("name", FUNCTIONS)
def test_one_value_too_many_without_a_name_is_no_type_error(name: str) -> None:
    called = getattr(regraft, name)
    first = [one for one in inspect.signature(called).parameters.values() if one.kind is one.POSITIONAL_OR_KEYWORD]
    with pytest.raises(ConfigError, match=rf"{name} takes {first[0].name}.*what is 'frozen'\?"):
        called(*["a" for _ in first], "frozen")


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_value_of_another_kind_is_refused_by_every_argument(name: str) -> None:
    """A complex number is none of what they take; what data, models and pictures are is said where they are read."""
    called = getattr(regraft, name)
    first = [one.name for one in inspect.signature(called).parameters.values() if one.kind is one.POSITIONAL_OR_KEYWORD]
    taken = dict.fromkeys(first, "nowhere")
    named = [known for known, one in inspect.signature(called).parameters.items() if one.kind is one.KEYWORD_ONLY]
    for known in {*named} - {"channels", "range"}:
        with pytest.raises(ConfigError, match=r"(is|expected|wrong).*1j"):
            called(**taken, **{known: 1j})


MISTAKES: dict[str, tuple[str, dict[str, Any], str]] = {
    "none": ("predict", {"model": "m", "pictures": "p", "top": 0}, "top is 0; expected 1 or more"),
    "negative": ("predict", {"model": "m", "pictures": "p", "top": -1}, "top is -1; expected 1 or more"),
    "no sample": ("recommend", {"data": "d", "sample": 0}, "sample is 0; expected 1 or more"),
    "no time": ("compare", {"data": "d", "budget_s": -5}, "budget_s is -5; expected 0 or more"),
    "no number": ("compare", {"data": "d", "budget_s": float("nan")}, "budget_s is nan; expected 0 or more"),
    "words": ("compare", {"data": "d", "budget_s": "2h"}, "budget_s is '2h'; expected a number"),
    "nowhere": ("train", {"data": "d", "out": ""}, "out is empty; expected a path"),
    "a run": ("train", {"data": "d", "resume": "runs/a"}, "resume is 'runs/a'; expected True or False"),
    "a truth": ("predict", {"model": "m", "pictures": "p", "top": True}, "top is True; expected a whole number"),
    "a number": ("load", {"path": 3}, "path is 3; expected a path"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_value_that_cannot_be_meant_is_refused_before_the_data_are_looked_for(mistake: str) -> None:
    function, given, said = MISTAKES[mistake]
    with pytest.raises(ConfigError, match=said.replace("?", r"\?")):
        getattr(regraft, function)(**given)


def test_what_looks_at_calls_leaves_classes_and_functions_as_they_were() -> None:
    estimator = regraft.RegraftClassifier("resnet18", epochs=3)
    assert clone(estimator).get_params() == estimator.get_params()
    assert pickle.loads(pickle.dumps(regraft.Config(epochs=3))) == regraft.Config(epochs=3)
    assert pickle.loads(pickle.dumps(regraft.train)) is regraft.train
