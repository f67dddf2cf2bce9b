"""Predictions -> what is answered, as JSON: the same words as in the files of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from regraft.inference.answering import Answering, Prediction
from regraft.inference.results import Asked, PredictionRow
from regraft.serve.hosted import Hosted


@dataclass(frozen=True)
class Ranked:
    """A class and its probability."""

    label: str
    index: int
    prob: float


@dataclass(frozen=True)
class Picture:
    """What is said of one picture; one that cannot be read has an error and nothing else."""

    filename: str
    label: str | None  # None: unsure, or not readable
    prob: float | None  # of the label; of an unsure picture the highest
    abstained: bool
    error: str
    top: list[Ranked]  # the predicted class first


@dataclass(frozen=True)
class Decision:
    """Where one of two classes is predicted."""

    positive: str
    value: float  # from this probability on
    target: str  # what it was chosen for: recall, precision or specificity
    wanted: float


@dataclass(frozen=True)
class Timing:
    """Where the time went, in milliseconds."""

    receiving: float
    answering: float  # waiting for other clients' pictures among it


@dataclass(frozen=True)
class Predicted:
    """What is said of the pictures of a request, in their order."""

    model: str
    rule: str  # what is predicted, where that is not always the most probable class
    threshold: Decision | None
    abstain_below: float | None
    pictures: list[Picture]
    ms: Timing


@dataclass(frozen=True)
class Model:
    """A model of the service."""

    name: str
    network: str
    method: str
    classes: list[str]
    rule: str
    threshold: Decision | None
    views: int  # of each picture, over which probabilities are the mean
    explains: bool  # whether it has heat maps


@dataclass(frozen=True)
class Models:
    """All of them; the first answers where none is named."""

    models: list[Model]


def model_of(hosted: Hosted) -> Model:
    """Say what a model is."""
    answering = hosted.answering
    return Model(
        name=hosted.name,
        network=answering.network_name,
        method=str(answering.about.get("method", "pretrained")),
        classes=list(answering.classes),
        rule=answering.rule,
        threshold=decision_of(answering),
        views=answering.tta.views,
        explains=hosted.explaining is not None,
    )


def decision_of(answering: Answering) -> Decision | None:
    """Return a model's threshold, if it has one."""
    found = answering.threshold
    return None if found is None else Decision(found.positive, found.value, found.target, found.wanted)


def pictures_of(
    names: Sequence[str], found: Sequence[Prediction], answering: Answering, top: int, abstain_below: float | None
) -> list[Picture]:
    """Say what is on pictures, by the rows of `regraft predict`."""
    asked = Asked(abstain_below=abstain_below)
    return [
        _picture(asked.rows(name, prediction, answering)[0], _ranked(prediction, answering, top))
        for name, prediction in zip(names, found, strict=True)
    ]


def _ranked(prediction: Prediction, answering: Answering, top: int) -> list[Ranked]:
    probabilities = prediction.probabilities
    if probabilities is None:
        return []
    return [
        Ranked(answering.classes[index], index, round(float(probabilities[index]), 6))
        for index in answering.ranking(probabilities)[:top].tolist()
    ]


def _picture(row: PredictionRow, ranked: list[Ranked]) -> Picture:
    abstained = row["label"] is None and not row["error"]
    return Picture(row["filename"], row["label"], row["prob"], abstained, row["error"], ranked)
