"""Pictures x names x embeddings -> Proposal: do the pictures come in groups, though nobody has said so?

Two photographs of one patient, slide, video or leaf are more alike than two of one class. Where they lie on both sides
of a split, the model is tested on what it has seen, and its figures are too good. So names and headers are searched for
groups; the pictures say whether these matter: the nearest picture of the same class then lies in the same group far
more often than by chance. What a random split overstates is measured with a quick linear model, cross-validated both
ways.

Nothing is read but what is kept already and the heads of files, and nothing is used before the user has said so.
"""

from __future__ import annotations

import shlex
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from regraft import run_folder
from regraft.audit.judging import nearest_among, out_of_fold, reduced
from regraft.config import option
from regraft.data import (
    PATIENT,
    Manifest,
    Naming,
    header_namings,
    in_stretches,
    named_as_sources,
    naming_of,
    namings,
    natural_key,
    plausible,
)
from regraft.errors import SplitError
from regraft.metrics.intervals import LEAST_OF_CLASS, enough_of_classes
from regraft.metrics.thresholds import UNBALANCED

MOST_PICTURES = 3000  # looked at: the standard error of an accuracy near 0.95 is then 0.4 points
COMPONENTS = 128  # of the embeddings: with 64 or 256 the difference is the same within 0.3 points on 5,333 blood cells
SHUFFLES = 99  # of the groups within each class; what they give is chance
DEVIATIONS = 5.0  # of chance: some thirty ways are tried, on pictures that may be few
DEVIATIONS_BEYOND = 3.0  # the same for coarser groups beyond finer ones, of which there are few to shuffle
LEAST_SHARE = 0.1  # of what is left above chance; 40 patients have 0.34, the first digits of photographs' numbers 0.02
IN_ORDER, SOME_ORDER = 0.3, 0.15  # the same for neighbouring names; 397 photographs of insects have 0.1, frames 0.9
PLACES = (3, 10, 30)  # between names that are called neighbouring; as long as that is a twentieth of the class
BLOCKS = 10  # of each class, of neighbouring names: they stand for groups which names do not tell
ALMOST = 0.8  # as many coarser groups as finer ones: uniting these few costs little, and what they have in common leaks
FEW_GROUPS = 10  # so coarse that the finer way is mentioned too


@dataclass(frozen=True)
class Proposal:
    """Groups that the user may have meant to name, and what a random split makes of them."""

    pattern: str | None  # what ``--groups`` takes; None where nothing tells one group from the next
    said: str  # what tells the groups
    groups: int
    examples: tuple[str, ...]
    alike: bool  # pictures of one group are more alike than others of their class
    share: float  # of the pictures whose nearest of the same class lies in the same group
    chance: float  # that share with the groups shuffled within each class
    pictures: int  # on which all figures were measured
    at_random: float | None  # accuracy of a quick linear model, cross-validated by pictures; None: too few groups
    by_group: float | None  # the same with whole groups left out
    low: float | None  # 95 % interval, over groups, of the difference of the two
    high: float | None
    balanced: bool = False  # whether the two are balanced accuracies, where a class is so common that others say little
    torn: int = 0  # groups that lie in more than one of the parts that were given
    other: str | None = None  # another way that the pictures bear out
    other_groups: int = 0
    complete: bool = True  # False: only the headers of those pictures were read, there may be more groups

    @property
    def found(self) -> str:
        """Say which groups there seem to be, and why."""
        shares = f"{_percent(self.share, 0)} of them the nearest picture of the same class"
        chance = f"{_percent(self.chance, 0)} by chance"
        if self.pattern is None:
            return (
                "No groups were given, and neither names nor headers tell any, but pictures whose names follow each "
                f"other are alike: for {shares} is {self.said}, {chance}. So it is with frames of videos, or with "
                "patients one after another."
            )
        named = f"by {self.said} ({', '.join(_short(name) for name in self.examples)} …)"
        count = f"{self.groups}{'' if self.complete else ' or more'}"
        if not self.alike:
            return (
                f"No groups were given, but {count} seem to be told {named}, though pictures of one group are "
                "no more alike than others."
            )
        return (
            f"No groups were given, but the pictures seem to come in {count}, told {named}: for {shares} is of "
            f"the same group, {chance}."
        )

    @property
    def measured(self) -> str:
        """Say what a random split overstates."""
        if self.at_random is None or self.by_group is None or self.low is None or self.high is None:
            return "There are too few groups, or pictures of a class, to measure what a random split overstates."
        by = "group" if self.pattern else "stretches of names"
        of = "a balanced accuracy of " if self.balanced else ""
        right = f"{of}{_percent(self.at_random)}{'' if self.balanced else ' right'}"
        figures = (
            f"A quick linear model, cross-validated on {self.pictures} pictures, has {right} where they are split at "
            f"random and {_percent(self.by_group)} where they are split by {by}"
        )
        interval = f"95 % interval {_points_of(self.low)} to {_points_of(self.high)}"
        points = f"{_points_of(self.at_random - self.by_group)} points"
        if self.at_random <= self.by_group:
            return f"{figures}: these pictures do not show that a random split overstates."
        if self.low <= 0:
            return f"{figures}; the difference, {points} ({interval}), may be chance."
        return f"{figures}: a random split overstates by {points} ({interval})."

    @property
    def remedy(self) -> str:
        """Say what to do, if the groups are what they seem to be."""
        if self.pattern is None:
            return "If so, name the source of each picture, in its file name or in a table with a column `group`."
        other = f" (or {groups_option(self.other)}, {self.other_groups} groups)" if self.other else ""
        keep = f"{groups_option(self.pattern)}{other}"
        if self.torn:
            return (
                f"{self.torn} of these groups lie in two of the parts that were given. If they are patients, slides, "
                f"videos or the like, give the pictures without these parts and keep groups together: {keep}"
            )
        return f"If these are patients, slides, videos or the like, keep them together: {keep}"

    @property
    def notice(self) -> str:
        """Say all of it."""
        return f"{self.found} {self.measured} {self.remedy}"

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {**asdict(self), "examples": list(self.examples), "notice": self.notice}


def groups_option(pattern: str) -> str:
    """Return the option as a shell reads it: ``--groups '^C\\d+'``."""
    return shlex.join([option("groups"), pattern])


def _percent(share: float, digits: int = 1) -> str:
    return f"{100 * share:.{digits}f} %"


def _points_of(share: float) -> str:
    return f"{round(100 * share, 1) + 0.0:.1f}"  # and no -0.0


def _short(name: str) -> str:
    return name if len(name) <= 24 else f"{name[:23]}…"


def write_proposal(proposal: Proposal | None, folder: Path) -> None:
    """Write groups.json, from which the page of a run is written; nothing where there is no proposal."""
    if proposal:
        run_folder.write_json(folder / run_folder.PROPOSAL, proposal.as_dict())


def proposed_in(folder: Path) -> Proposal | None:
    """Read groups.json, which is there where groups were proposed.

    Raises:
        RunError: it is damaged.
    """
    path = folder / run_folder.PROPOSAL
    return run_folder.read_as(path, Proposal) if path.exists() else None


def propose(
    manifest: Manifest,
    rows: Callable[[Sequence[int]], NDArray[Any]],
    *,
    seen: Sequence[int] | None = None,
    seed: int = 0,
) -> Proposal | None:
    """Return the groups that the pictures seem to come in; None where nothing speaks for any.

    None too where groups are given, or where the parts that are given keep these groups apart.

    Args:
        manifest: the readable pictures, with the parts that were given, and none that were drawn.
        rows: returns the embeddings [m, c] of some of them, of any network; asked for 3,000 at most.
        seen: the positions of those that have embeddings; all by default.
        seed: decides which pictures are looked at, and the folds.
    """
    if any(item.group is not None for item in manifest.items):
        return None
    chosen = in_stretches(len(manifest), MOST_PICTURES, seed) if seen is None else seen
    looked = manifest.keep(chosen)
    sample = looked.with_parts([None] * len(chosen))
    points = _points(rows(chosen))
    if points is None:
        return None
    pictures = _Seen(sample, points, seed)
    parted = any(item.part for item in manifest.items)
    for way, other in _best([*namings(sample), *header_namings(sample, seed)], pictures):
        # what holds of some names must hold of all, and with it each class can be split; heads are not read of all
        within = looked if way.in_headers else manifest
        whole = _of(way, within)
        if whole and plausible(whole.groups, within, 0.0):
            torn = _torn(whole.groups, within) if parted else 0
            if parted and not torn:
                return None
            also = _of(other, looked if other.in_headers else manifest) if other else None
            found = _proposal(whole, way, pictures, also, torn)
            return replace(found, complete=len(within) == len(manifest))
    return None if parted else _in_order(manifest, chosen, pictures)


def _of(way: Naming, within: Manifest) -> Naming | None:
    return way if way.in_headers else naming_of(way.pattern, within, way.said)


def _torn(groups: Sequence[str], manifest: Manifest) -> int:
    """Return how many groups lie in more than one part."""
    pairs = set(zip(groups, [item.part for item in manifest.items], strict=True))
    return sum(count > 1 for count in Counter(group for group, _ in pairs).values())


# ---- do the pictures bear it out? -----------------------------------------------------------------------------------


class Support(NamedTuple):
    """How often the nearest picture of the same class lies in the same group."""

    share: float
    chance: float
    deviations: float  # of chance that lie between the two

    @property
    def above(self) -> float:
        """The share above chance, of what is left above it."""
        return (self.share - self.chance) / max(1 - self.chance, 1e-9)

    def holds(self, deviations: float = DEVIATIONS, least: float = LEAST_SHARE) -> bool:
        """Say whether that is far more often than by chance."""
        return self.deviations >= deviations and self.above >= least


class _Seen:
    """The pictures looked at, with what is near to what."""

    def __init__(self, sample: Manifest, points: NDArray[np.float32], seed: int) -> None:
        self.sample, self.points, self.seed, self.labels = sample, points, seed, sample.labels
        self.alone = np.arange(len(points))  # each picture a group of its own
        self.nearest = self.nearest_beyond(self.alone)

    def nearest_beyond(self, group_of: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the nearest picture of the same class in another group, [n]; -1 where there is none."""
        found = np.full(len(self.points), -1)
        for label in np.unique(self.labels):
            here = np.flatnonzero(self.labels == label)
            distances, nearest = nearest_among(self.points, here, here, group_of)
            found[here] = np.where(np.isinf(distances), -1, nearest)
        return found

    def support(self, groups: Sequence[str], beyond: NDArray[np.int64] | None = None) -> Support:
        """Return how often the nearest lies in the same group; `beyond` finer groups: that in another."""
        fine = self.alone if beyond is None else beyond
        nearest = self.nearest if beyond is None else self.nearest_beyond(fine)
        asked = np.flatnonzero((nearest >= 0) & self._can_be_shared(groups, fine))
        _, first, unit_of = np.unique(
            np.stack([self.labels, fine]), axis=1, return_index=True, return_inverse=True
        )  # a finer group in a class is what is shuffled, whole
        ends = unit_of.ravel()[asked], unit_of.ravel()[nearest[asked]]
        return self._against_chance(_numbered(groups)[first], self.labels[first], ends, np.equal)

    def within(self, place: NDArray[np.int64], places: int) -> Support:
        """Return how often the nearest is at most so many places away."""
        asked = np.flatnonzero(self.nearest >= 0)
        ends = asked, self.nearest[asked]
        return self._against_chance(place, self.labels, ends, lambda one, other: np.abs(one - other) <= places)

    def _against_chance(
        self,
        values: NDArray[np.int64],
        labels: NDArray[np.int64],
        ends: tuple[NDArray[np.int64], NDArray[np.int64]],
        same: Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.bool_]],
    ) -> Support:
        """Return how many pairs have the same value, and how many with the values shuffled within each class."""
        if not len(ends[0]):
            return Support(0.0, 0.0, 0.0)
        share, shares = float(same(values[ends[0]], values[ends[1]]).mean()), []
        random, in_class = np.random.default_rng(self.seed), np.argsort(labels, kind="stable")
        shuffled = np.empty_like(values)
        for _ in range(SHUFFLES):
            shuffled[in_class] = values[np.lexsort((random.random(len(labels)), labels))]
            shares.append(float(same(shuffled[ends[0]], shuffled[ends[1]]).mean()))
        chance = float(np.mean(shares))
        return Support(share, chance, (share - chance) / max(float(np.std(shares)), 1e-9))

    def _can_be_shared(self, groups: Sequence[str], fine: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Say of each picture whether its group holds more than one finer group of its class, [n]."""
        inside = defaultdict(set)
        keys = list(zip(self.labels.tolist(), groups, strict=True))
        for key, one in zip(keys, fine.tolist(), strict=True):
            inside[key].add(one)
        return np.array([len(inside[key]) > 1 for key in keys])


def _numbered(groups: Sequence[str]) -> NDArray[np.int64]:
    return np.asarray(np.unique(np.asarray(groups), return_inverse=True)[1], np.int64).ravel()


def _points(rows: NDArray[Any]) -> NDArray[np.float32] | None:
    """Return principal components [n, 128 at most] of standardized embeddings; None where all are the same."""
    found = rows.reshape(len(rows), -1)
    if not np.isfinite(found).all():
        return None
    points = reduced(found, COMPONENTS)
    return points if points.any() else None


def _best(ways: Sequence[Naming], seen: _Seen) -> list[tuple[Naming, Naming | None]]:
    """Return the ways that the pictures bear out, best first, each with another to mention; then the well named.

    Of ways of one rank the coarsest counts: patients above their slides. But what unites any groups that matter seems
    to matter itself, so it has to hold beyond the finer one: between different slides of one patient. Where it unites
    next to nothing there is little to see, and little to lose.
    """
    held = _across_classes([way for way in ways if seen.support(way.groups).holds()], seen.labels)
    found: list[tuple[Naming, Naming | None]] = []
    for rank in sorted({way.rank for way in held}):
        here = sorted((way for way in held if way.rank == rank), key=lambda way: -len(set(way.groups)))
        best, finer = here[0], None
        for way in here[1:]:
            if _nested(best, way) and (
                len(set(way.groups)) >= ALMOST * len(set(best.groups))
                or seen.support(way.groups, _numbered(best.groups)).holds(DEVIATIONS_BEYOND)
            ):
                best, finer = way, best
        found.append((best, finer if len(set(best.groups)) <= FEW_GROUPS else None))
    return found + [(way, None) for way in ways if way.pattern == PATIENT or named_as_sources(way.groups)]


def _across_classes(ways: Sequence[Naming], labels: NDArray[np.int64]) -> list[Naming]:
    """Leave out a way that differs from another of its rank only in what it holds of the class: `P1_ill` beside `P1`.

    Within each class the two make the same groups, so that the pictures cannot tell one from the other; the coarser one
    keeps a patient together whose pictures are of several classes.
    """
    coarsest: dict[tuple[int, bytes], Naming] = {}
    for way in sorted(ways, key=lambda way: len(set(way.groups))):
        pairs = np.stack([labels, _numbered(way.groups)])
        _, first, group_of = np.unique(pairs, axis=1, return_index=True, return_inverse=True)
        within = first[group_of.ravel()]  # each picture's group in its class, by the first picture of it
        coarsest.setdefault((way.rank, within.tobytes()), way)
    return [way for way in ways if way in coarsest.values()]


def _nested(fine: Naming, coarse: Naming) -> bool:
    return len(set(zip(fine.groups, coarse.groups, strict=True))) == len(set(fine.groups))


# ---- what a random split overstates ---------------------------------------------------------------------------------


def _proposal(whole: Naming, sampled: Naming, seen: _Seen, also: Naming | None, torn: int) -> Proposal:
    support, names = seen.support(sampled.groups), Counter(whole.groups)
    return Proposal(
        whole.pattern,
        whole.said,
        len(names),
        tuple(sorted((name for name, count in names.items() if count > 1), key=natural_key)[:3]),
        support.holds(),
        support.share,
        support.chance,
        len(sampled.groups),
        **_both_ways(seen, sampled.groups)._asdict(),
        torn=torn,
        other=also.pattern if also else None,
        other_groups=len(set(also.groups)) if also else 0,
    )


class BothWays(NamedTuple):
    """Accuracy at random and by group, and the 95 % interval of their difference; None where it cannot be told."""

    at_random: float | None = None
    by_group: float | None = None
    low: float | None = None
    high: float | None = None
    balanced: bool = False


def _both_ways(seen: _Seen, groups: Sequence[str]) -> BothWays:
    """Cross-validate a linear model both ways; where one class is common, each class counts alike."""
    which, sample = _with_enough_groups(seen.sample, groups)
    counts = np.bincount(sample.labels, minlength=len(sample.classes))
    if len(counts) < 2 or not enough_of_classes(counts, LEAST_OF_CLASS):
        return BothWays()
    balanced = bool(counts.max() * len(counts) > UNBALANCED * counts.sum())
    weights = counts.sum() / len(counts) / counts if balanced else np.ones(len(counts))
    grouped = [groups[at] for at in which]
    held = replace(
        sample, items=tuple(replace(item, group=group) for item, group in zip(sample.items, grouped, strict=True))
    )
    try:
        believed = [out_of_fold(manifest, seen.points[which], seen.seed) for manifest in (sample, held)]
    except SplitError:
        return BothWays()
    right = [((found * weights).argmax(1) == sample.labels) * weights[sample.labels] for found in believed]
    interval = difference_interval(right[0] - right[1], grouped)
    return BothWays(float(right[0].mean()), float(right[1].mean()), *interval, balanced)


def _with_enough_groups(sample: Manifest, groups: Sequence[str]) -> tuple[NDArray[np.int64], Manifest]:
    """Leave out the classes that have too few groups among the pictures looked at to be cross-validated."""
    pairs = set(zip(sample.labels.tolist(), groups, strict=True))
    count = np.bincount([label for label, _ in pairs], minlength=len(sample.classes))
    kept = [label for label, found in enumerate(count) if found >= 3]
    which = np.flatnonzero(np.isin(sample.labels, kept))
    items = tuple(replace(sample.items[at], label=kept.index(sample.items[at].label)) for at in which)
    return which, Manifest(sample.root, tuple(sample.classes[label] for label in kept), items)


def difference_interval(differences: NDArray[np.float64], groups: Sequence[str]) -> tuple[float, float]:
    """Return the 95 % interval of a mean [n] whose values vary together within groups.

    A ratio of sums over groups, linearised, with t for as many groups less one (Cochran, Sampling Techniques, 1977,
    chapter 9A): with few groups wider than drawing them again and again would make it.
    """
    from scipy.stats import t

    group_of = _numbered(groups)
    mean, count = float(differences.mean()), int(group_of.max()) + 1
    if count < 2:
        return float("-inf"), float("inf")
    residuals = np.bincount(group_of, weights=differences - mean)
    error = float(np.sqrt(count / (count - 1) * (residuals**2).sum())) / len(differences)
    reach = float(t.ppf(0.975, count - 1)) * error
    return mean - reach, mean + reach


# ---- what names do not tell -----------------------------------------------------------------------------------------


def _in_order(manifest: Manifest, chosen: Sequence[int], seen: _Seen) -> Proposal | None:
    """Return what speaks for groups that follow each other in the order of names, where no name tells them."""
    place = _places(manifest.labels)[list(chosen)]
    usual = float(np.median(np.bincount(manifest.labels)))
    tried = [(seen.within(place, places), places) for places in PLACES if places <= usual / 20]
    support, places = max(tried, key=lambda one: one[0].above, default=(Support(0.0, 0.0, 0.0), 0))
    if not support.holds(least=SOME_ORDER):
        return None
    size = np.maximum(np.bincount(seen.labels)[seen.labels] // BLOCKS, 1)
    numbers = np.minimum(_places(seen.labels) // size, BLOCKS - 1)
    figures = _both_ways(seen, [f"{label}/{at}" for label, at in zip(seen.labels, numbers, strict=True)])
    if not support.holds(least=IN_ORDER) and (figures.low is None or figures.low <= 0):
        return None
    said = f"at most {places} places away"
    return Proposal(None, said, 0, (), True, support.share, support.chance, len(place), *figures)


def _places(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the place of each picture among those of its class."""
    places = np.zeros(len(labels), np.int64)
    for label in np.unique(labels):
        here = np.flatnonzero(labels == label)
        places[here] = np.arange(len(here))
    return places
