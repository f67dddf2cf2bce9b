"""Judge manifest x digests x embeddings x thumbnails -> Audit: what in the data may mislead a training or its figures.

Nothing is read from disk here, and no network is run: a training that has kept its activations gets its audit for a few
seconds of linear algebra.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from regraft.activations.computed import computed, fingerprint
from regraft.audit.identical import identical
from regraft.audit.kinds import KINDS
from regraft.audit.label_errors import wrong
from regraft.audit.near_duplicates import clusters, fit_pca, near_duplicates
from regraft.data import Item, Manifest, Thumbnail, shares, splits
from regraft.errors import RunError, SplitError
from regraft.training import linear
from regraft.training.linear import cross_validated, standardized
from regraft.utils import files

COMPONENTS = 256  # of the embeddings: of 2,560 numbers these judge labels as well, in a tenth of the time
NEAREST = 3  # embeddings near each picture that are compared with it, pixel by pixel
CROWD = 10  # embeddings near each picture whose mean distance says how far out it lies
FAR = 4.0  # times the median of that distance; 0.6 % of 5,333 blood cells, none of 397 insects
FEWEST_TO_SPREAD = 8  # different pictures: fewer have too few neighbours for a map
SMALL, LONG = 4.0, 3.0  # times smaller than the median, times longer for its width than the median
MOST_DOUBTED = 0.1  # share of the pictures whose labels are listed at most: nobody reads more
CLOSER = 0.05  # share of the training pictures whose nearest is that near; of another part as many should be
CLOSE_AT, CLOSE_FROM, CLOSE_BY_CHANCE = 0.15, 5, 1e-4  # share and number of pictures, and chance, from which it is said
MANY_BLANK = 0.05  # share of a class from which its blank pictures are more than a few slips
MAP_AT_MOST = 2000  # pictures on the map: more dots hide each other, and t-SNE takes minutes


FINDINGS = "findings.csv"
MEMBERS = 6  # of a set of copies that are named in one line


class Remark(NamedTuple):
    """One finding: a row of findings.csv."""

    kind: str  # of KINDS
    filename: str
    label: str
    other: str  # the other picture, where there are two
    score: float | None  # how alike; how likely the label is wrong; how far out
    remark: str


class Gathered(NamedTuple):
    """One finding as people are told it: the surest pair of a set of copies, and all its members."""

    remark: Remark
    members: tuple[str, ...]  # the picture, or pictures, that it is about

    @property
    def said(self) -> str:
        """Say which pictures, and what of them."""
        shown = [*self.members[:MEMBERS], *(["…"] if len(self.members) > MEMBERS else [])]
        count = f" ({len(self.members)} pictures)" if len(self.members) > 2 else ""
        return f"{' = '.join(shown)}{count}: {self.remark.remark}"


@dataclass(frozen=True, eq=False, repr=False)
class Audit:
    """What was found, and what the data are like."""

    pictures: int  # that can be read
    classes: dict[str, int]
    sizes: dict[str, int]  # pixels: least, median and largest of width and of height
    modes: dict[str, int]  # colour modes, as Pillow names them
    remarks: list[Remark]  # the gravest kind first, within it the surest
    label_quality: NDArray[np.float64] | None  # [n], 0 to 1: how much a model without this picture believes its label
    notices: list[str] = field(default_factory=list)  # what could not be judged, and why; what holds for all pictures

    def __repr__(self) -> str:
        """Say what it is, without its findings."""
        return f"<Audit: {sum(self.counts().values())} findings in {self.pictures} pictures>"

    def counts(self) -> dict[str, int]:
        """Return how many findings there are of each kind, all kinds; a set of copies is one."""
        return {kind: len(self.gathered(kind)) for kind in KINDS}

    def of(self, kind: str) -> list[Remark]:
        """Return the findings of one kind."""
        return by_kind(self.remarks).get(kind, [])

    def gathered(self, kind: str) -> list[Gathered]:
        """Return the findings of one kind, each set of copies once."""
        return gathered(self.of(kind))

    def summary(self) -> str:
        """Say in plain words what was found and what to do about it."""
        counts = self.counts()
        unread = counts.pop("corrupt")
        more = f" {unread} more cannot be read." if unread else ""
        said = [self._count_of(kind, count) for kind, count in counts.items() if count]
        if not said:
            return f"Nothing suspicious among {self.pictures} pictures.{more}"
        return f"Among {self.pictures} pictures: {', '.join(said)}.{more}{_advice(counts)}"

    def _count_of(self, kind: str, count: int) -> str:
        where = f" ({shares(blank_by_class(self.remarks), self.classes)})" if kind == "blank" else ""
        return count_of(kind, count) + where

    def balance(self) -> str:
        """Say how unequal the classes are."""
        rare, common = min(self.classes, key=self.classes.__getitem__), max(self.classes, key=self.classes.__getitem__)
        times = self.classes[common] / max(self.classes[rare], 1)
        if times <= 1.5:
            return "The classes are balanced."
        return (
            f"{common} has {times:.1f} times as many pictures as {rare}; rare classes are weighed up when predicting."
        )

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "pictures": self.pictures,
            "classes": self.classes,
            "sizes": self.sizes,
            "modes": self.modes,
            "counts": self.counts(),
            "findings": [remark._asdict() for remark in self.remarks],
            "notices": self.notices,
            "summary": self.summary(),
        }


def by_kind(remarks: Iterable[Remark]) -> dict[str, list[Remark]]:
    """Return the findings of each kind that has some, the gravest kind first."""
    found = {kind: list[Remark]() for kind in KINDS}
    for remark in remarks:
        found[remark.kind].append(remark)
    return {kind: those for kind, those in found.items() if those}


def count_of(kind: str, count: int) -> str:
    """Say in plain words how many findings of a kind there are."""
    return f"{count} {KINDS[kind].of(count)}"


def gathered(remarks: Sequence[Remark]) -> list[Gathered]:
    """Return findings of one kind, the pairs of each set of copies as one: six pictures of one thing are 15 pairs."""
    pairs = [remark for remark in remarks if remark.other and remark.score is not None]
    names = list(dict.fromkeys(name for remark in pairs for name in (remark.filename, remark.other)))
    at = {name: index for index, name in enumerate(names)}
    sets = clusters((at[remark.filename], at[remark.other]) for remark in pairs)
    of = {names[index]: tuple(sorted(names[each] for each in members)) for members in sets for index in members}
    told: dict[tuple[str, ...], Gathered] = {}
    for remark in remarks:
        alone = (remark.filename, remark.other) if remark.other else (remark.filename,)
        paired = bool(remark.other) and remark.score is not None
        members = of[remark.filename] if paired else alone
        told.setdefault(members if paired else (*alone, remark.remark), Gathered(remark, members))
    return list(told.values())


def write_remarks(path: Path, remarks: Iterable[Remark]) -> None:
    """Write findings.csv: kind, filename, label, other, score, remark."""
    files.write_csv(path, Remark._fields, ([_cell(value) for value in remark] for remark in remarks))


def read_remarks(path: Path) -> list[Remark]:
    """Read findings.csv.

    Raises:
        RunError: it is damaged.
    """
    rows = files.read_csv(path, needed=Remark._fields)
    try:
        return [_read_remark(row) for row in rows]
    except ValueError as error:
        raise RunError(f"{path} holds what is no finding: {error}. It was edited or damaged: train again.") from error


def _read_remark(row: Mapping[str, str]) -> Remark:
    score = float(row["score"]) if row["score"] else None
    if row["kind"] not in KINDS or (score is not None and not math.isfinite(score)):
        raise ValueError(f"{row['kind']!r} with a score of {row['score']!r}")
    return Remark(**{name: row[name] for name in Remark._fields if name != "score"}, score=score)


def _cell(value: str | float | None) -> str:
    return "" if value is None else f"{value:.4f}" if isinstance(value, float) else value


def _advice(counts: Mapping[str, int]) -> str:
    if counts["leak"]:
        return " Mend the leaks first: figures on a test part that leaks are too good."
    if counts["close-parts"]:
        return " Find out first why pictures that are tested lie so near to training pictures: figures may be too good."
    if counts["label-conflict"]:
        return " Decide on the pictures with two labels first: no network can learn both."
    if counts["blank"]:
        return (
            " Find out first how blank pictures came among the others, and leave them out: a model knows them by that."
        )
    if counts["label-error"]:
        return " Look at the labels that look wrong first: some will be right, and just difficult."
    return ""


def blank_by_class(remarks: Iterable[Remark]) -> Counter[str]:
    """Return how many pictures of each class are blank."""
    return Counter(remark.label for remark in remarks if remark.kind == "blank")


def blank_notices(remarks: Iterable[Remark], classes: Mapping[str, int]) -> list[str]:
    """Return a sentence on the blank pictures, where a class has more than a few of them."""
    counts = blank_by_class(remarks)
    if not any(count >= MANY_BLANK * classes[name] for name, count in counts.items()):
        return []
    return [
        f"{counts.total()} of {sum(classes.values())} pictures are one colour ({shares(counts, classes)}), and a model "
        "knows them by that. Find out how they came among the others, and leave them out."
    ]


def audit_of(
    manifest: Manifest,
    digests: Sequence[str],
    points: NDArray[np.float32],
    thumbnails: Sequence[Thumbnail],
    *,
    skipped: Mapping[str, str] | None = None,
    seed: int = 0,
) -> Audit:
    """Judge pictures by what is known of them. Memory grows with n; time with n^2 of one matrix product.

    Args:
        manifest: the readable pictures, with parts and groups where there are any.
        digests: of their content, [n].
        points: `reduced` from the embeddings of any network [n, c].
        thumbnails: of `regraft.data.read_thumbnails`, [n].
        skipped: file names that cannot be read, and why.
        seed: decides the folds of the label check.
    """
    nearest, distances = _neighbours(points)
    quality, suspects, notices = _label_errors(manifest, points, seed)
    remarks = [
        *(Remark("corrupt", name, "", "", None, reason) for name, reason in sorted((skipped or {}).items())),
        *(
            _remark(
                manifest,
                index,
                "blank",
                None,
                f"nothing but one colour, of brightness {thumbnail.grey.mean():.0f} of 255",
            )
            for index, thumbnail in enumerate(thumbnails)
            if thumbnail.is_blank
        ),
        *_torn_groups(manifest),
        *_copies(manifest, digests, nearest, thumbnails),
        *_close_parts(manifest, points),
        *suspects,
        *_outliers(manifest, distances),
        *_odd_sizes(manifest, thumbnails),
    ]
    order = list(KINDS)
    return Audit(
        len(manifest),
        manifest.counts(),
        _sizes(thumbnails),
        dict(Counter(thumbnail.mode for thumbnail in thumbnails).most_common()),
        sorted(remarks, key=lambda remark: order.index(remark.kind)),
        quality,
        notices,
    )


def reduced(embeddings: NDArray[Any], most: int = COMPONENTS) -> NDArray[np.float32]:
    """Return so many principal components [n, c] of standardized embeddings at most, scaled to a spread of 1.

    They are kept, and asking for those of equal embeddings again takes no time.

    Raises:
        WeightsError: some are no numbers.
    """
    if len(embeddings) < 2:
        return np.zeros((len(embeddings), 1), np.float32)

    def fit() -> dict[str, NDArray[Any]]:
        rows = standardized(embeddings)
        points = fit_pca(rows, most).transform(rows)
        return {"points": np.asarray(points / max(float(points.std()), 1e-6), np.float32)}

    recipe = {"embeddings": fingerprint(embeddings), "most": most}
    by = [__file__, str(Path(__file__).with_name("near_duplicates.py")), linear.__file__]
    kept: NDArray[np.float32] = computed(by, recipe, fit)["points"]
    return kept


def _neighbours(points: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the nearest others [n, k] and the mean distance [n] to a few of them; searched in chunks."""
    from sklearn.neighbors import NearestNeighbors

    count = min(CROWD, len(points) - 1)
    if count < 1:
        return np.zeros((len(points), 1), np.int64), np.zeros(len(points))
    # asked without the points themselves, scikit-learn leaves each picture itself out
    distances, indices = NearestNeighbors(n_neighbors=count, algorithm="brute").fit(points).kneighbors()
    return indices[:, :NEAREST], distances.mean(1)


def _remark(manifest: Manifest, index: int, kind: str, score: float | None, said: str) -> Remark:
    """Return a finding about one picture alone."""
    item = manifest.items[index]
    return Remark(kind, item.name, manifest.classes[item.label], "", score, said)


# ---- the same picture twice -----------------------------------------------------------------------------------------


def _copies(
    manifest: Manifest, digests: Sequence[str], nearest: NDArray[np.int64], thumbnails: Sequence[Thumbnail]
) -> list[Remark]:
    """Judge each pair: a conflict of labels, else a duplicate; and a leak where it lies in two parts or groups."""
    exact = [(members[0], other) for members in identical(digests) for other in members[1:]]
    near = near_duplicates(thumbnails, nearest)
    remarks = [remark for one, other in exact for remark in _judge(manifest, one, other, None)]
    for one, other, score in sorted(near, key=lambda pair: -pair[2]):
        if digests[one] != digests[other]:
            remarks += _judge(manifest, one, other, score)
    return remarks


def _judge(manifest: Manifest, one: int, other: int, score: float | None) -> list[Remark]:
    first, second = manifest.items[one], manifest.items[other]
    how = "the same file" if score is None else "nearly the same picture"
    names = (first.name, manifest.classes[first.label], second.name, 1.0 if score is None else score)
    if first.label != second.label:
        labels = f"{manifest.classes[first.label]} and {manifest.classes[second.label]}"
        found = [Remark("label-conflict", *names, f"{how}, labelled {labels}")]
    else:
        found = [Remark("duplicate" if score is None else "near-duplicate", *names, how)]
    where = _apart(first, second)
    return [*found, Remark("leak", *names, f"{how}, in {where}")] if where else found


def _apart(first: Item, second: Item) -> str:
    """Say in which parts and groups two pictures lie, where these differ."""
    parts = f"{first.part} and {second.part}" if first.part != second.part else ""
    grouped = first.group is not None and second.group is not None and first.group != second.group
    groups = f"groups {first.group} and {second.group}" if grouped else ""
    return ", ".join(said for said in (parts, groups) if said)


def _torn_groups(manifest: Manifest) -> list[Remark]:
    """Find groups with pictures in two parts: these are recognised rather than classified."""
    first: dict[str, Item] = {}
    torn: dict[tuple[str, str | None], Remark] = {}
    for item in manifest.items if manifest.groups else ():
        assert item.group is not None
        seen = first.setdefault(item.group, item)
        if seen.part != item.part:
            said = f"group {item.group} has pictures in {seen.part} and {item.part}"
            remark = Remark("leak", seen.name, manifest.classes[seen.label], item.name, None, said)
            torn.setdefault((item.group, item.part), remark)
    return list(torn.values())


def _close_parts(manifest: Manifest, points: NDArray[np.float32]) -> list[Remark]:
    """Find parts whose pictures lie nearer to training pictures than these to each other: a leak, though none is seen.

    Compared are, class by class, the shares that lie within the distance within which 1 in 20 training pictures has its
    nearest; of pictures with groups the nearest of another group, since those of one group are alike.
    """
    labels, groups = manifest.labels, manifest.groups
    train = manifest.part("train")
    if len(train) < 2:
        return []
    of = None if groups is None else np.unique(groups, return_inverse=True)[1]
    within, _ = nearest_among(points, train, train, of)
    limits = {label: np.quantile(within[labels[train] == label], CLOSER) for label in np.unique(labels[train]).tolist()}
    return [
        remark
        for part in ("val", "test")
        for remark in _close(manifest, part, *nearest_among(points, manifest.part(part), train, None), limits)
    ]


def _close(
    manifest: Manifest, part: str, distances: NDArray[np.float64], nearest: NDArray[np.int64], limits: dict[int, float]
) -> list[Remark]:
    from scipy.stats import binom

    which = manifest.part(part)
    close = distances < np.array([limits.get(label, 0.0) for label in manifest.labels[which].tolist()])
    count = int(close.sum())
    if count < max(CLOSE_FROM, CLOSE_AT * len(which)) or binom.sf(count - 1, len(which), CLOSER) > CLOSE_BY_CHANCE:
        return []
    example = int(np.argmin(distances))
    item, other = manifest.items[which[example]], manifest.items[nearest[example]]
    said = (
        f"{count} of {len(which)} pictures in {part} are nearer to one in train than all but {CLOSER:.0%} of those in "
        "train are to each other; here the nearest"
    )
    return [Remark("close-parts", item.name, manifest.classes[item.label], other.name, count / len(which), said)]


def nearest_among(
    points: NDArray[np.float32], which: NDArray[np.int64], among: NDArray[np.int64], groups: NDArray[np.int64] | None
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return distance and index of the nearest other picture among some; with groups, of another group [m]."""
    from sklearn.metrics import pairwise_distances_chunked

    def nearest(distances: NDArray[np.float64], start: int) -> NDArray[np.float64]:
        mine = which[start : start + len(distances)]
        same = mine[:, None] == among if groups is None else groups[mine][:, None] == groups[among]
        distances[same] = np.inf
        best = distances.argmin(1)
        return np.stack([distances[np.arange(len(best)), best], among[best]], 1)

    if not len(which):
        return np.zeros(0), np.zeros(0, np.int64)
    found = np.concatenate(list(pairwise_distances_chunked(points[which], points[among], reduce_func=nearest)))
    return found[:, 0], found[:, 1].astype(np.int64)


# ---- wrong labels, and pictures that do not belong ------------------------------------------------------------------


def _label_errors(
    manifest: Manifest, points: NDArray[np.float32], seed: int
) -> tuple[NDArray[np.float64] | None, list[Remark], list[str]]:
    """Find labels that a linear model, trained without the picture, does not believe: as many as should be wrong.

    With 5 % of the labels swapped, of 1,000 cells, 396 insects and 1,000 small photographs in six classes, 7 in 10 of
    those listed were swapped, and 7 in 10 of those swapped are listed; confident learning (cleanlab, ``both``) lists
    more, of which 4 to 7 in 10.
    """
    try:
        believed = out_of_fold(manifest, points, seed)
    except SplitError as reason:
        return None, [], [f"Labels were not judged: {reason}"]
    doubted = wrong(believed, manifest.labels)
    expected = float(doubted.sum())
    listed = np.argsort(-doubted, kind="stable")[: min(round(expected), int(MOST_DOUBTED * len(doubted)))]
    remarks = []
    for index in listed.tolist():
        others = np.where(np.arange(believed.shape[1]) == manifest.labels[index], -1.0, believed[index])
        said = (
            f"rather {manifest.classes[int(others.argmax())]} ({others.max():.3f}); {doubted[index]:.0%} likely wrong"
        )
        remarks.append(_remark(manifest, index, "label-error", float(doubted[index]), said))
    return 1 - doubted, remarks, _expected(expected, doubted[listed], len(doubted))


def _expected(expected: float, listed: NDArray[np.float64], count: int) -> list[str]:
    """Say how many labels are expected to be wrong, and how many of those listed."""
    if not len(listed):
        return []
    said = f"Of {count} labels, about {expected:.0f} {'is' if round(expected) == 1 else 'are'} expected to be wrong"
    if len(listed) == 1:
        return [f"{said}; the likeliest one is listed, and is wrong with a probability of {listed[0]:.0%}."]
    return [
        f"{said}; the {len(listed)} likeliest are listed. Of these about {listed.sum():.0f} should be wrong, and the "
        "others right, and just difficult."
    ]


def out_of_fold(manifest: Manifest, points: NDArray[np.float32], seed: int = 0) -> NDArray[np.float64]:
    """Return probabilities [n, k] from linear models that have not seen the picture, nor its group.

    They are kept, and asking for the same pictures, labels and groups again takes no time.

    Raises:
        SplitError: a class has fewer than 3 pictures, or groups.
    """
    from scipy.special import softmax

    def fit() -> dict[str, NDArray[Any]]:
        believed = np.zeros((len(manifest), len(manifest.classes)))
        for test, scores in cross_validated(manifest, points, seed=seed):
            believed[test] = softmax(scores, axis=1)
        return {"believed": believed}

    recipe = {
        "points": fingerprint(points, manifest.labels),
        "groups": list(manifest.groups or ()),
        "classes": len(manifest.classes),
        "seed": seed,
    }
    kept: NDArray[np.float64] = computed([__file__, linear.__file__, splits.__file__], recipe, fit)["believed"]
    return kept


def _outliers(manifest: Manifest, distances: NDArray[np.float64]) -> list[Remark]:
    """Find pictures far from their nearest; among photographs of everything, little is out of place."""
    apart = distances[distances > 1e-6]  # copies lie on each other, and what lies apart from them is no outlier for it
    if len(apart) < 2:
        return []
    times = distances / float(np.median(apart))
    out = [index for index in np.argsort(-times).tolist() if times[index] > FAR]
    return [
        _remark(
            manifest,
            index,
            "outlier",
            float(times[index]),
            f"{times[index]:.1f} times as far from its nearest as usual",
        )
        for index in out
    ]


# ---- sizes ----------------------------------------------------------------------------------------------------------


def _sizes(thumbnails: Sequence[Thumbnail]) -> dict[str, int]:
    sides = {
        "width": [thumbnail.width for thumbnail in thumbnails],
        "height": [thumbnail.height for thumbnail in thumbnails],
    }
    return {
        f"{name}_{side}": int(np.quantile(values, share))
        for side, values in sides.items()
        for name, share in (("least", 0.0), ("median", 0.5), ("largest", 1.0))
    }


def _odd_sizes(manifest: Manifest, thumbnails: Sequence[Thumbnail]) -> list[Remark]:
    shorter = np.array([min(thumbnail.width, thumbnail.height) for thumbnail in thumbnails])
    stretched = np.array([max(thumbnail.width, thumbnail.height) for thumbnail in thumbnails]) / shorter
    small = shorter * SMALL < np.median(shorter)
    long = stretched > LONG * np.median(stretched)
    return [
        _remark(manifest, index, "odd-size", None, f"{thumbnails[index].width} x {thumbnails[index].height} pixels")
        for index in np.flatnonzero(small | long).tolist()
    ]


# ---- the map --------------------------------------------------------------------------------------------------------


class Map(NamedTuple):
    """Pictures on a plane, the like beside the like."""

    positions: NDArray[np.float64]  # [m, 2]
    pictures: NDArray[np.int64]  # [m], their indices


def map_of(points: NDArray[np.float32], seed: int = 0) -> Map:
    """Lay pictures out on a plane (t-SNE), of many a random choice; from what `reduced` returns [n, c]. It is kept."""
    chosen = np.arange(len(points))
    if len(points) > MAP_AT_MOST:
        chosen = np.sort(np.random.default_rng(seed).choice(len(points), MAP_AT_MOST, replace=False))
    seen = points[chosen, :50]
    kept = computed([__file__], {"map": fingerprint(seen), "seed": seed}, lambda: {"places": _plane(seen, seed)})
    return Map(kept["places"], chosen)


def _plane(points: NDArray[np.float32], seed: int) -> NDArray[np.float64]:
    """Return positions [m, 2]; equal points lie on each other.

    The library's own code divides by the spread of the points, and ends the process where there is none.
    """
    from sklearn.manifold import TSNE

    distinct, which = np.unique(points.round(4), axis=0, return_inverse=True)
    flat = np.pad(distinct, ((0, 0), (0, 2)))[:, : max(2, distinct.shape[1])]
    if len(distinct) < FEWEST_TO_SPREAD:
        positions = flat[:, :2]
    else:
        perplexity = min(30.0, (len(flat) - 1) / 3)
        positions = TSNE(2, perplexity=perplexity, init="pca", random_state=seed).fit_transform(flat)
    return np.asarray(positions, np.float64)[which.reshape(-1)]
