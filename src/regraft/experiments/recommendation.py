"""Networks x a sample of the pictures -> a ranking before anything is trained, with costs and a sentence of advice.

Each network sees the sample once; from its kept embeddings come the accuracy of a linear model, cross-validated, and
LogME. Training afterwards starts from the same kept embeddings.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from regraft import methods
from regraft.audit.groups import propose
from regraft.config import ABOUT, Config, command, refuse_idle
from regraft.data import Manifest, split, split_from
from regraft.errors import RegraftError, SplitError, WeightsMissing
from regraft.experiments.comparison import listed_backbones
from regraft.experiments.session import Session, load_network
from regraft.metrics.logme import logme
from regraft.training.linear import cross_validated, standardized
from regraft.utils import tables
from regraft.utils.progress import Bars, Progress

if TYPE_CHECKING:
    import pandas

SAMPLE = 1000  # pictures: the standard error of an accuracy near 0.9 is then 0.01


@dataclass(frozen=True)
class Ranked:
    """One network, as the sample shows it."""

    backbone: str
    probe: float  # accuracy of a linear model on the embeddings, mean over folds
    probe_error: float  # standard error of that mean, over folds
    logme: float
    feature_extraction_s: float  # estimated: the frozen part over all pictures, once
    predict_ms: float  # for one picture, decoding included
    memory_mb: float  # of the weights and the two largest neighbouring outputs for one picture
    size_mb: float  # of the weights on disk


@dataclass(frozen=True, repr=False)
class Recommendation:
    """The candidates, most promising first, and those that could not be tried."""

    data: str
    sample: int
    pictures: int
    candidates: list[Ranked]
    failed: dict[str, str]
    settings: dict[str, Any] = field(default_factory=dict)  # those that the user gave: they hold for the next step too

    @property
    def equals(self) -> list[Ranked]:
        """The first candidate and those whose probe is within one standard error of its."""
        best = self.candidates[0]
        return [one for one in self.candidates if one.probe >= best.probe - max(best.probe_error, one.probe_error)]

    def advice(self) -> str:
        """Say in plain words what to do next."""
        best, quick = self.candidates[0], min(self.equals, key=lambda one: one.predict_ms)
        said = f"{best.backbone} did best: a linear model on it has {best.probe:.3f} right."
        if quick is not best:
            said += (
                f" {quick.backbone} is as good within the error of this sample and "
                f"{best.predict_ms / quick.predict_ms:.1f} times as quick."
            )
        elif len(self.equals) > 1:
            said += f" {self.equals[1].backbone} is as good within the error of this sample."
        few = ",".join(list(dict.fromkeys(one.backbone for one in (best, quick, *self.equals)))[:3])
        if len(self.equals) > 1:
            shared = {name: value for name, value in self.settings.items() if "compare" in ABOUT[name].use.commands}
            return f"{said} To be sure: {command('compare', self.data, '--backbones', few, **shared)}"
        settings = {**self.settings, "backbone": best.backbone, "method": "finetuned"}
        return f"{said} Next: {command('train', self.data, **settings)}"

    def to_pandas(self) -> pandas.DataFrame:
        """Return the candidates as a pandas table.

        Raises:
            MissingExtra: pandas is not installed.
        """
        return tables.to_pandas([asdict(one) for one in self.candidates], "Recommendation.to_pandas")

    def __repr__(self) -> str:
        """Say what it is, without its table."""
        best = self.candidates[0].backbone
        return f"<Recommendation: {best} first of {len(self.candidates)} networks, on {self.pictures} pictures>"

    def _repr_html_(self) -> str:
        return tables.as_html([asdict(one) for one in self.candidates], title=self.advice())

    def as_dict(self) -> dict[str, Any]:
        """Return what ``--json`` prints."""
        return {
            "rows": [asdict(one) for one in self.candidates],
            "sample": self.sample,
            "pictures": self.pictures,
            "failed": self.failed,
            "advice": self.advice(),
        }


def recommend(
    data: Path | str,
    *,
    backbones: str | Sequence[str] = "available",
    sample: int = SAMPLE,
    progress: Progress | None = None,
    **settings: Any,
) -> Recommendation:
    """Rank networks on a folder or table; see `regraft.experiments.api.recommend`."""
    progress, data = progress or Progress(), Path(data)
    refuse_idle("recommend", settings)
    config = Config(**settings, method="features")
    session = Session.open(data, config, settings, progress)
    whole, names = session.manifest, listed_backbones(backbones)
    session.networks = len(names)
    session = session.only(_sample(_untested(whole, config), sample, config.seed))
    pictures = len(session.manifest)
    session.survey()
    ranked, failed = list[Ranked](), dict[str, str]()
    for name in names:
        try:
            ranked.append(_try(name, session, whole, ask=not ranked))  # for groups: once is enough
        except RegraftError as error:
            failed[name] = " ".join(str(error).split())
            progress.warn(f"{name}: {error}")
    if not ranked:
        raise WeightsMissing(f"No network could be tried; {names[0]}: {failed[names[0]]}")
    ranked.sort(key=lambda one: (-one.probe, -one.logme))
    return Recommendation(str(data), pictures, len(whole), ranked, failed, settings)


def _untested(manifest: Manifest, config: Config) -> Manifest:
    """Return the pictures that are not in the test part, given or drawn: what chooses a network must not see it."""
    manifest = split_from(manifest, config.split_from) if config.split_from else manifest
    with contextlib.suppress(SplitError):  # too few for parts: then nothing is tested on one of them
        manifest = split(manifest, val=config.val, test=config.test, seed=config.seed)
    return manifest.keep(np.flatnonzero([item.part != "test" for item in manifest.items]))


def _sample(manifest: Manifest, count: int, seed: int) -> Manifest:
    """Return about so many pictures, of every class the same share; single pictures, so that many groups are seen."""
    if len(manifest) <= count:
        return manifest
    free = replace(manifest, items=tuple(replace(item, part=None, group=None) for item in manifest.items))
    return manifest.keep(split(free, val=count / len(manifest), test=0.0, seed=seed).part("val"))


def _try(name: str, session: Session, whole: Manifest, *, ask: bool) -> Ranked:
    """Run a network over the sample; `ask` which groups the pictures of the whole seem to come in."""
    loaded = load_network(replace(session.config, backbone=name))
    plan = methods.plan(loaded.backbone, replace(session.config, backbone=name))
    quiet = replace(session, progress=Bars(session.progress))
    network, sample = quiet.activate(loaded, [plan]), quiet.manifest
    rows = network.embeddings(plan.cut).astype(np.float64)
    if ask:
        _propose(session, whole, sample, rows)
    embeddings = standardized(rows)
    labels = sample.labels
    accuracies = [
        float((scores.argmax(1) == labels[test]).mean())
        for test, scores in cross_validated(sample, embeddings, seed=session.config.seed)
    ]
    backbone, seconds = network.backbone, network.prefix.seconds_per_picture()
    weights = 4 * sum(stage.parameter_count for stage in backbone.stages) / 1e6
    outputs = [4 * float(np.prod(shape)) / 1e6 for shape in backbone.shapes(backbone.preprocessing.size)]
    return Ranked(
        name,
        probe=float(np.mean(accuracies)),
        probe_error=float(np.std(accuracies, ddof=1) / np.sqrt(len(accuracies))),
        logme=logme(embeddings, labels),
        feature_extraction_s=seconds * len(whole),
        predict_ms=1000 * seconds,
        memory_mb=weights + max(sum(outputs[at : at + 2]) for at in range(len(outputs))),
        size_mb=weights,
    )


def _propose(session: Session, whole: Manifest, sample: Manifest, rows: np.ndarray) -> None:
    """Say which groups the pictures seem to come in, unless groups or parts are given."""
    parted = session.config.split_from or any(item.part for item in whole.items)
    if parted or session.config.groups is not None:
        return
    names = {item.name for item in sample.items}
    seen = [at for at, item in enumerate(whole.items) if item.name in names]  # in the order of the sample
    if proposal := propose(whole, lambda _: rows, seen=seen, seed=session.config.seed):
        session.progress.warn(proposal.notice)
