"""Data opened once and each network opened once: any plan trains on any split of them and leaves no trace.

Every experiment is told with a Session: open the data, split them, load a network, run its frozen part over the
pictures, and train what is above it.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from regraft import methods
from regraft.activations.devices import pick_device
from regraft.activations.prefix import Demand, Means, Prefix
from regraft.activations.sources import Activations, Pictures
from regraft.audit.groups import Proposal, propose
from regraft.audit.identical import duplicates_across_parts, label_conflicts
from regraft.audit.judging import Remark, audit_of, blank_notices, reduced
from regraft.audit.looking import look_at
from regraft.backbones import Backbone
from regraft.config import Config, option
from regraft.data import (
    Manifest,
    Preprocessing,
    Reading,
    Surveyed,
    Tta,
    augmentations,
    corrected,
    other_pictures,
    scan,
    survey,
)
from regraft.errors import BadImage, ConfigError, RunError, TooManyBadImages
from regraft.experiments import splitting
from regraft.experiments.preflight import Scanned, check_target
from regraft.inference import bundle, hub
from regraft.inference.classifier import Classifier
from regraft.methods._plan import Plan
from regraft.training.learner import lengthened
from regraft.utils import files
from regraft.utils.progress import Progress
from regraft.weights.loading import filled

MOST_JUDGED = 20_000  # pictures: a minute of reading for the report; `regraft check` takes any number
MEASURED = ("val", "test")
MOST_BAD = 0.05  # a folder with more unreadable files than this is rather the wrong folder than a good one with losses


@dataclass(frozen=True, eq=False)
class LoadedNetwork:
    """A network with its weights, and where they come from, oldest first."""

    backbone: Backbone
    lineage: tuple[dict[str, Any], ...]
    earlier: Classifier | None = None  # the model trained before, with --from

    @property
    def earlier_head(self) -> tuple[nn.Module, tuple[str, ...]] | None:
        """The head and the classes of the model trained before."""
        return (self.earlier.head, self.earlier.classes) if self.earlier else None


def load_network(config: Config, *, named: bool = False) -> LoadedNetwork:
    """Build the network and fill it: from published weights, or from a model trained before.

    Raises:
        ConfigError: the backbone was `named` by the user, and the earlier model has another one.
        WeightsError, BundleError: the tensors are not here, or not what they should be.
    """
    if config.from_run is not None:
        return _load_earlier(config.from_run, config, named)
    source = methods.weights_of(config.method) or config.weights
    backbone, weights = filled(config.backbone, source, seed=config.seed)
    origin = {"weights": weights.source, "digest": weights.digest, "licence": weights.licence}
    return LoadedNetwork(backbone.sized(config.img_size, config.fit), (origin,))


def _load_earlier(path: str, config: Config, named: bool) -> LoadedNetwork:
    earlier = bundle.load(hub.local(path))
    backbone = earlier.backbone
    if named and config.backbone != backbone.name:
        raise ConfigError(f"{path} was trained with {backbone.name}, not {config.backbone}. Leave out --backbone.")
    step = {
        "run": path if hub.is_address(path) else Path(path).name,
        "method": earlier.about.get("method", ""),
        "classes": list(earlier.classes),
    }
    return LoadedNetwork(
        backbone.sized(config.img_size, config.fit), (*earlier.about.get("lineage", ()), step), earlier
    )


@dataclass(frozen=True, eq=False)
class ActivatedNetwork:
    """A network whose frozen part has run over the pictures of a session."""

    loaded: LoadedNetwork  # its backbone shows pictures on the scale that was found in them
    prefix: Prefix

    @property
    def backbone(self) -> Backbone:
        """The network, which knows on which scale the pictures are shown: a model must be kept with that one."""
        return self.loaded.backbone

    def embeddings(self, cut: int) -> np.ndarray:
        """Return what the frozen part makes of every picture at a cut, in its plain view [n, ...]."""
        rows: Activations = self.prefix.at(cut)
        count = len(self.prefix.pictures.paths)
        return rows.rows(range(count), [0] * count)

    @contextmanager
    def untouched(self, cut: int) -> Iterator[None]:
        """Undo afterwards what is trained in place above a cut."""
        trained = nn.ModuleList(stage.module for stage in self.backbone.stages[cut:])
        before = {name: tensor.clone() for name, tensor in trained.state_dict().items()}
        try:
            yield
        finally:
            trained.load_state_dict(before)


@dataclass(eq=False)
class Session:
    """A data set that is opened once, for any number of networks, plans and splits.

    A picture that turns out to be unreadable is left out of the manifest and of every split, and named in `skipped`.
    """

    data: Path
    config: Config
    requested: Mapping[str, Any]  # the settings that the user named
    progress: Progress
    manifest: Manifest  # with the parts that were given, if any
    networks: int = 1  # that see the same pictures: with several, decoded pixels may be worth keeping
    splits: list[Manifest] = field(default_factory=list)  # the same pictures, each in a part: one, or one for each fold
    skipped: dict[str, str] = field(default_factory=dict)  # pictures that are left out, and why
    surveyed: Surveyed | None = None
    _said: int = 0  # how many of the skipped ones the user has been told of

    @classmethod
    def open(
        cls,
        data: Path,
        config: Config,
        requested: Mapping[str, Any],
        progress: Progress,
        scanned: Scanned | None = None,
    ) -> Session:
        """Read which pictures there are, and say how the data were read, before anything is computed on them.

        `scanned` are the data as they were read already; read in another way, they are read anew.

        Raises:
            DataError, UnknownName, ConfigError: data that cannot be read as asked, or a setting that does not suit it.
        """
        methods.check(config.method)
        augmentations(config.augment)
        reading = Reading(**config.reading)
        found = scanned.manifest if scanned and scanned.reading == reading else scan(data, reading)
        manifest = corrected(found, config.corrections)
        for notice in manifest.notices:
            progress.warn(notice)
        check_target(config, manifest)
        tta = tta_of(config)
        if tta.views < config.tta:
            progress.warn(tta.fewer(config.tta))
        return cls(data, config, requested, progress, replace(manifest, notices=()))

    # ---- which pictures, in which parts -----------------------------------------------------------------------------

    def split(self, begun: Path | None = None) -> None:
        """Give every picture its part: one split, or one for each fold. What cannot be split is said now.

        `begun` is the folder of a run that goes on, whose parts are kept.

        Raises:
            SplitError, DataError, ConfigError: as `splitting`.
        """
        notices = [] if begun else splitting.notices(self.manifest, self.config, self.requested)
        self.splits = splitting.split(self.manifest, self.config, begun)
        if not begun:
            notices += splitting.few_tested(self.splits, self.manifest, self.config)
        for notice in notices:
            self.progress.warn(notice)

    def only(self, sample: Manifest, *, split: bool = False) -> Session:
        """Return a session of some of these pictures, which has them in their parts or has no parts yet."""
        return replace(self, manifest=sample, splits=[sample] if split else [], skipped={}, _said=0)

    @property
    def learned(self) -> list[int]:
        """The pictures that any split trains on; all, before they are split."""
        if not self.splits:
            return list(range(len(self.manifest)))
        return sorted({index for split in self.splits for index in split.part("train").tolist()})

    @property
    def measured(self) -> list[int]:
        """The pictures that any split validates or tests on."""
        return sorted({index for split in self.splits for part in MEASURED for index in split.part(part).tolist()})

    @property
    def tested(self) -> Manifest:
        """The pictures in their parts; with folds each is tested once."""
        return self.splits[0] if len(self.splits) == 1 else self.manifest.with_parts(["test"] * len(self.manifest))

    def go_on_with(self, run: Path) -> None:
        """Leave out what a run could not read when it began: it goes on with its own pictures.

        Raises:
            RunError: pictures are missing, or new.
        """
        rows = files.read_csv(run / "skipped.csv", needed=["filename", "reason"])
        self._leave_out({row["filename"]: row["reason"] for row in rows})
        self._said = len(self.skipped)
        self.refuse_other_pictures(run)

    def refuse_other_pictures(self, run: Path, *, digests: bool = False) -> None:
        """Raise where a run would go on with other pictures than it began with: its figures would be of neither.

        Without `digests` only the names are compared, with them the contents, for which all files are read.

        Raises:
            RunError: names the first picture that has changed, is missing or is new.
        """
        found = self.digests if digests else [""] * len(self.manifest)
        known = {item.name: digest for item, digest in zip(self.manifest.items, found, strict=True)}
        table = next(folder / "split.csv" for folder in splitting.folders(run, self.config))
        others = other_pictures(known, table)
        if others:
            what, names = next(iter(others.items()))
            raise RunError(
                f"{run} was begun with other pictures: {len(names)} {what} since, the first {names[0]}. Put them back "
                "as they were, or start a new run without --resume."
            )

    def _leave_out(self, skipped: Mapping[str, str]) -> None:
        if not skipped:
            return
        kept = [index for index, item in enumerate(self.manifest.items) if item.name not in skipped]
        self.manifest, self.splits = self.manifest.keep(kept), [split.keep(kept) for split in self.splits]
        self.skipped = {**self.skipped, **skipped}

    # ---- what the files are -----------------------------------------------------------------------------------------

    @property
    def seen(self) -> Surveyed:
        """What the files are, read once: their digests, and the scale on which more than 8 bits are shown."""
        return self.surveyed or self.survey()

    def survey(self) -> Surveyed:
        """Read every file, leave out those that cannot be read, and say on which scale the others are shown.

        A session of several networks asks for it before the first of them: `only` some of its pictures, or told by
        another `progress`, are then those of the same survey.

        Raises:
            ConfigError: most pictures have more channels than are shown, and none are chosen.
        """
        items = self.manifest.items
        labels = [self.manifest.classes[item.label] for item in items]
        seen = survey([item.path for item in items], labels=labels, **self.config.of_files, progress=self.progress)
        for notice in seen.notices:
            self.progress.warn(notice)
        digests = {item.name: seen.digests[item.path] for item in items}
        self._leave_out({name: str(found) for name, found in digests.items() if isinstance(found, BadImage)})
        self.surveyed = seen
        return seen

    @property
    def digests(self) -> list[str]:
        """The content digest of every readable picture, in the manifest's order."""
        seen = self.seen
        return [str(seen.digests[item.path]) for item in self.manifest.items]

    def copies(self) -> list[str]:
        """Return a sentence on identical pictures under two labels, or in two parts or folds."""
        parts = (
            self.splits[0] if len(self.splits) == 1 else self.manifest.with_parts(splitting.named_folds(self.splits))
        )
        found = [find(parts.items, self.digests) for find in (label_conflicts, duplicates_across_parts)]
        return [finding.notice for finding in found if finding.notice]

    def learned_before(self) -> list[str]:
        """Return a sentence on the pictures of the test part that the model trained before has learned from."""
        if self.config.from_run is None:
            return []
        learned, test, digests = bundle.learned_from(Path(self.config.from_run)), self.tested.part("test"), self.digests
        count = sum(digests[index] in learned for index in test)
        if not count:
            return []
        without = ", without --folds" if self.config.folds else ""
        return [
            f"{count} of {len(test)} test pictures were used to train {self.config.from_run}: the figures on them are "
            f"too good. Its own parts keep them apart: --split-from {shlex.quote(self.config.from_run)}{without}"
        ]

    # ---- what is frozen runs once -----------------------------------------------------------------------------------

    def activate(self, loaded: LoadedNetwork, plans: Sequence[Plan]) -> ActivatedNetwork:
        """Decode every picture once and run the frozen part on it, once for all plans and splits.

        Raises:
            TooManyBadImages: more than 5 % cannot be read, and ``allow_bad`` is off.
        """
        digests, seen, total = self.digests, self.seen, len(self.manifest) + len(self.skipped) - self._said
        backbone = replace(loaded.backbone, preprocessing=_shown(loaded.backbone.preprocessing, seen, self.config))
        pictures = Pictures(
            [item.path for item in self.manifest.items],
            digests,
            backbone.preprocessing,
            augmentations(self.config.augment),
            self.config.seed,
            tta_of(self.config),
        )
        prefix = self._prefix(backbone, pictures, plans)
        names = [item.name for item in self.manifest.items]
        self._leave_out({names[index]: str(reason) for index, reason in prefix.plain().items()})
        self._refuse_many_bad(total)
        for split in self.splits:
            splitting.refuse_absent(split, self.config)
        return ActivatedNetwork(replace(loaded, backbone=backbone), prefix)

    def augment(self, network: ActivatedNetwork, plans: Sequence[Plan]) -> None:
        """Run the frozen part on further views: drawn ones of what is trained on, fixed ones of what is measured."""
        network.prefix.augmented(self.learned, max(plan.kept_views for plan in plans))
        network.prefix.tested(self.measured)

    def _prefix(self, backbone: Backbone, pictures: Pictures, plans: Sequence[Plan]) -> Prefix:
        at_once = max((len(split.part("train")) for split in self.splits), default=len(self.manifest))
        epochs = {0: self.networks} if self.networks > 1 else {}
        for plan in plans:
            for cut, count in lengthened(plan, at_once, self.config).epochs.items():
                epochs[cut] = max(count * max(len(self.splits), 1), epochs.get(cut, 0))
        views, tested_at = max(plan.kept_views for plan in plans), frozenset(plan.cut for plan in plans)
        demand = Demand(epochs, len(self.learned), views, len(self.measured), tested_at)
        return Prefix(backbone, pictures, demand, means_of(self.config), self.progress)

    def _refuse_many_bad(self, total: int) -> None:
        skipped = dict(list(self.skipped.items())[self._said :])
        self._said = len(self.skipped)
        if not skipped:
            return
        first = "; ".join(f"{name}: {reason}" for name, reason in sorted(skipped.items())[:3])
        if len(skipped) > MOST_BAD * total and not self.config.allow_bad:
            raise TooManyBadImages(
                f"{len(skipped)} of {total} files cannot be read ({first}), more than {MOST_BAD:.0%}. "
                "Mend or remove them, or go on without them: --allow-bad"
            )
        self.progress.warn(
            f"{len(skipped)} of {total} files cannot be read and are left out, see skipped.csv ({first})."
        )

    # ---- what the kept activations say of the data ------------------------------------------------------------------

    def proposed_groups(self, network: ActivatedNetwork, plans: Sequence[Plan]) -> Proposal | None:
        """Ask the kept activations whether the pictures come in groups, and tell the user; nothing runs for it.

        Parts that were drawn tear every group and do not count; where groups are given there is nothing to ask.
        """
        cut = max(cut for plan in plans for cut in plan.cuts)
        if self.config.groups is not None or not network.prefix.keeps(cut):
            return None
        parted = self.splits[0] if self.config.split_from and self.splits else self.manifest
        kept = network.prefix.at(cut)
        proposal = propose(parted, lambda which: kept.rows(which, [0] * len(which)), seed=self.config.seed)
        if proposal:
            self.progress.warn(proposal.notice)
        return proposal

    def judged(self, network: ActivatedNetwork, plan: Plan) -> list[Remark] | None:
        """Judge the data by what the frozen part made of them; None where that was not kept: nothing runs twice."""
        cut = max(plan.cuts)
        if not network.prefix.keeps(cut) or len(self.manifest) > MOST_JUDGED:
            return None
        parted = self.splits[0] if len(self.splits) == 1 else self.manifest
        thumbnails = look_at(parted, self.digests, network.backbone.preprocessing, self.progress)
        points, seed = reduced(network.embeddings(cut)), self.config.seed
        audit = audit_of(parted, self.digests, points, thumbnails, skipped=self.skipped, seed=seed)
        deep = {item.name for item in parted.items if item.path in self.seen.sights}  # of these it has been said
        for notice in blank_notices([one for one in audit.remarks if one.filename not in deep], audit.classes):
            self.progress.warn(notice)
        return audit.remarks


def _shown(preprocessing: Preprocessing, seen: Surveyed, config: Config) -> Preprocessing:
    """Return how a network sees these pictures: as its weights expect, on the scale found and the channels chosen."""
    return replace(
        preprocessing,
        file_channels=config.file_channels,
        value_range=seen.value_range,
        max_megapixels=config.max_megapixels,
    )


def tta_of(config: Config) -> Tta:
    """Return the views of pictures that are predicted from, as the settings say."""
    return Tta(config.tta, augmentations(config.augment)).different


def means_of(config: Config) -> Means:
    """Return what computes and keeps rows, as the settings say."""
    return Means(
        pick_device(config.device),
        config.engine,
        config.keep,
        config.keep_dtype,
        config.cache_limit,
        precision=config.precision,
    )


def idle_options(plan: Plan, config: Config, requested: Mapping[str, Any]) -> list[str]:
    """Return a sentence on the settings that were given and mean nothing to the plan."""
    idle = [option(name) for name in requested if name in methods.idle_settings(plan, config.tta)]
    return [f"Here, --method={config.method} makes no use of {', '.join(idle)}."] if idle else []
