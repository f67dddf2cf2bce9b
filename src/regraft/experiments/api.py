"""The experiments as Python functions: what can be refused is refused at once, then what does the work is imported.

Importing torch and the libraries of networks takes seconds; a misspelt setting, or data that are not there, are told
before.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from regraft.audit.kinds import check_kinds
from regraft.config import refuse_idle, with_settings
from regraft.data import Labelled, retelling
from regraft.experiments.preflight import preflight, scanned
from regraft.utils.progress import Listener, listener

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from regraft.experiments.checking import Check
    from regraft.experiments.comparison_runner import Comparison
    from regraft.experiments.recommendation import Recommendation
    from regraft.experiments.run import Run
    from regraft.utils.keywords import Settings


@with_settings()
def train(
    data: Labelled,
    *,
    out: str | os.PathLike[str] | None = None,
    resume: bool = False,
    progress: Listener = None,
    report: bool = True,
    **settings: Unpack[Settings],
) -> Run:
    """Train a classifier on labelled pictures and keep it, with its figures, in a run folder.

    With ``folds=5``, train five, each tested on another fifth of the pictures: `Run.folds` are their runs, `Run.mean`
    and `Run.deviation` their figures, and `Run.test` the figures of all their predictions together.

    Args:
        data: ``DATA/<class>/<picture>``, ``DATA/{train,val,test}/<class>/<picture>``, or a table (CSV, Excel, Parquet
            …); a pandas or polars DataFrame, an Arrow table, a Hugging Face dataset, or ``(pictures, labels)``, with
            pictures as in `regraft.predict`. What is in memory is written into the cache, by its content.
        out: the run folder; ``runs/<name of data>`` by default, with -2 behind it where that is taken.
        resume: go on with a run that was stopped; settings that are not given are those of that run.
        progress: True shows bars and sentences, False nothing; by default there are warnings alone, `RegraftWarning`.
        report: write report.html at the end, which takes some seconds; `regraft.report` writes it later.
        settings: any field of `Config`, by name.

    Raises:
        ConfigError, UnknownName: a setting that there is not, of another type or out of range; with the nearest name.
        RegraftError: any of its kinds; the line says what was found, what was expected and what to do next.
        KeyboardInterrupt: Ctrl-C in a fold, or before the first epoch of a single run; says how it goes on.
    """
    heard = listener(progress)
    source = preflight(data, settings)
    with retelling(source):
        seen = scanned(source, settings)
        from regraft.experiments import train as training

        return training.train(source, out=out, resume=resume, progress=heard, report=report, scanned=seen, **settings)


@with_settings(budget_s=0, control_epochs=0)
def compare(
    data: Labelled,
    *,
    backbones: str | Sequence[str] = "available",
    methods: str | Sequence[str] = ("frozen", "finetuned", "features"),
    budget_s: float | None = None,
    control_epochs: int | None = None,
    out: str | os.PathLike[str] | None = None,
    progress: Listener = None,
    **settings: Unpack[Settings],
) -> Comparison:
    """Train every network with every method on one split and say which is best.

    Args:
        data: as in `train`.
        backbones: names; or ``available``, those whose weights are on this machine; or ``families``, the smallest of
            each family.
        methods: names.
        budget_s: seconds; successive halving drops what does worst on a share of the pictures.
        control_epochs: epochs of a network from random weights, which show what transfer has gained; 0: none. It is
            the smallest of those that cannot be told from the best. By default 5, and more where pictures are few: it
            is to take as many steps as the shortest of the others.
        out: the comparison's folder, ``comparisons/<name of data>`` by default. One that is there already and was not
            finished is gone on with when the settings are the same; else it is left alone and -2 is taken.
        progress: True shows bars and sentences, False nothing; by default there are warnings alone, `RegraftWarning`.
        settings: any other field of `Config`, by name; the same for all candidates. With folds, every candidate is
            cross-validated on the same ones.

    Raises:
        ConfigError, UnknownName: as in `train`.
        RegraftError: nothing could be compared. A candidate that fails is a row with its reason.
    """
    heard = listener(progress)
    refuse_idle("compare", settings)
    source = preflight(data, settings, backbones=backbones, named=methods)
    from regraft.experiments import comparison

    with retelling(source):
        return comparison.compare(
            source,
            comparison.candidates_of(backbones, methods),
            budget_s=budget_s,
            control_epochs=control_epochs,
            out=out,
            progress=heard,
            **settings,
        )


@with_settings()
def check(
    data: Labelled,
    *,
    out: str | os.PathLike[str] | None = None,
    fail_on: str | Sequence[str] = (),
    progress: Listener = None,
    **settings: Unpack[Settings],
) -> Check:
    """Look for what may mislead a training, or its figures, and write check.html and findings.csv.

    Args:
        data: as in `train`.
        out: the folder for the page and the table; ``checks/<name of data>`` by default, with -2 where that is taken.
        fail_on: kinds of findings, as a list or joined by commas; those that were found are in `Check.failed_on`.
        progress: True shows bars and sentences, False nothing; by default there are warnings alone, `RegraftWarning`.
        settings: fields of `Config`, by name: backbone, weights, groups, split_from, img_size, seed, device …

    Raises:
        UnknownName: there is no such kind of finding.
        NoImages: no picture can be read.
        ConfigError: it is to fail on leaks, and the data have neither parts nor groups; or a setting of training.
    """
    heard = listener(progress)
    refuse_idle("check", settings)
    check_kinds(fail_on)
    source = preflight(data, settings)
    from regraft.experiments import checking

    with retelling(source):
        return checking.check(source, out=out, fail_on=fail_on, progress=heard, **settings)


@with_settings(sample=1)
def recommend(
    data: Labelled,
    *,
    backbones: str | Sequence[str] = "available",
    sample: int = 1000,
    progress: Listener = None,
    **settings: Unpack[Settings],
) -> Recommendation:
    """Rank networks on a sample of the pictures, before anything is trained.

    Args:
        data: as in `train`.
        backbones: as in `compare`.
        sample: pictures that each network sees; stratified by class.
        progress: True shows bars and sentences, False nothing; by default there are warnings alone, `RegraftWarning`.
        settings: any other field of `Config`, by name.

    Raises:
        ConfigError, UnknownName: as in `train`.
        RegraftError: no network could be tried, or a class is too rare for folds.
    """
    heard = listener(progress)
    refuse_idle("recommend", settings)
    source = preflight(data, settings, backbones=backbones)
    from regraft.experiments import recommendation

    with retelling(source):
        return recommendation.recommend(source, backbones=backbones, sample=sample, progress=heard, **settings)
