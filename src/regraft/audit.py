"""Judge manifest x digests x embeddings x looks -> Audit: what in the data may mislead a training or its figures.

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

from regraft import files
from regraft.data import Item, Look, Manifest, identical, into_folds_at_most
from regraft.errors import RunError, SplitError, UnknownName
from regraft.linear import fit_linear
from regraft.twins import fit_pca, near_duplicates

KINDS = {
    "corrupt": "files that cannot be read",
    "label-conflict": "the same picture under two labels",
    "leak": "the same picture, or pictures of one group, in two parts; or the same picture in two groups",
    "duplicate": "the same file twice, in one class",
    "near-duplicate": "nearly the same picture twice, in one class: resized, encoded anew, mirrored, turned, cropped",
    "label-error": "pictures whose label may be wrong",
    "outlier": "pictures unlike all others",
    "odd-size": "pictures much smaller, or much longer, than the others",
}
"""What is looked for, the gravest first."""

COMPONENTS = 256  # of the embeddings: of 2,560 numbers these judge labels as well, in a tenth of the time
NEAREST = 3  # embeddings near each picture that are compared with it, pixel by pixel
CROWD = 10  # embeddings near each picture whose mean distance says how far out it lies
FAR = 4.0  # times the median of that distance; 0.6 % of 5,333 blood cells, none of 397 insects
FOLDS = 5
SMALL, LONG = 4.0, 3.0  # times smaller than the median, times longer for its width than the median
MAP_AT_MOST = 2000  # pictures on the map: more dots hide each other, and t-SNE takes minutes


FINDINGS = "findings.csv"


class Remark(NamedTuple):
    """One finding: a row of findings.csv."""

    kind: str  # of KINDS
    filename: str
    label: str
    other: str  # the other picture, where there are two
    score: float | None  # how alike; how much the label is believed; how far out
    remark: str


@dataclass(frozen=True, eq=False)
class Audit:
    """What was found, and what the data are like."""

    pictures: int  # that can be read
    classes: dict[str, int]
    sizes: dict[str, int]  # pixels: least, median and largest of width and of height
    modes: dict[str, int]  # colour modes, as Pillow names them
    remarks: list[Remark]  # the gravest kind first, within it the surest
    label_quality: NDArray[np.float64] | None  # [n], 0 to 1: how much a model without this picture believes its label
    map: NDArray[np.float64]  # [m, 2]
    mapped: NDArray[np.int64]  # [m], which pictures are on the map
    notices: list[str] = field(default_factory=list)  # what could not be judged, and why; what holds for all pictures

    def counts(self) -> dict[str, int]:
        """Return how many findings there are of each kind, all kinds."""
        found = by_kind(self.remarks)
        return {kind: len(found.get(kind, ())) for kind in KINDS}

    def of(self, kind: str) -> list[Remark]:
        """Return the findings of one kind."""
        return by_kind(self.remarks).get(kind, [])

    def summary(self) -> str:
        """Say in plain words what was found and what to do about it."""
        counts = self.counts()
        unread = counts.pop("corrupt")
        more = f" {unread} more cannot be read." * bool(unread)
        said = [f"{count} {kind}{'s' * (count != 1)}" for kind, count in counts.items() if count]
        if not said:
            return f"Nothing suspicious among {self.pictures} pictures.{more}"
        return f"Among {self.pictures} pictures: {', '.join(said)}.{more}{_advice(counts)}"

    def balance(self) -> str:
        """Say how unequal the classes are."""
        rare, common = min(self.classes, key=self.classes.__getitem__), max(self.classes, key=self.classes.__getitem__)
        times = self.classes[common] / max(self.classes[rare], 1)
        if times <= 1.5:
            return "The classes are balanced."
        return f"{common} has {times:.1f} times as many pictures as {rare}; rare classes are weighed up when answering."

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
    if counts["label-conflict"]:
        return " Decide on the pictures with two labels first: no network can learn both."
    if counts["label-error"]:
        return " Look at the likely label errors first: some will be right, and just difficult."
    return ""


def check_kinds(names: Iterable[str]) -> tuple[str, ...]:
    """Return the kinds of findings named, in their order.

    Raises:
        UnknownName: there is no such kind; the nearest are named.
    """
    wanted = tuple(names)
    for name in wanted:
        if name not in KINDS:
            raise UnknownName("kind of finding", name, KINDS)
    return wanted


def audit_of(
    manifest: Manifest,
    digests: Sequence[str],
    embeddings: NDArray[Any],
    looks: Sequence[Look],
    *,
    skipped: Mapping[str, str] | None = None,
    seed: int = 0,
    map_at_most: int = MAP_AT_MOST,
) -> Audit:
    """Judge pictures by what is known of them. Memory grows with n; time with n^2 of one matrix product.

    Args:
        manifest: the readable pictures, with parts and groups where there are any.
        digests: of their content, [n].
        embeddings: of any network, float [n, c].
        looks: of `regraft.data.read_looks`, [n].
        skipped: file names that cannot be read, and why.
        seed: decides the folds of the label check and the pictures on the map.
        map_at_most: pictures on the map; 0 draws none.
    """
    points = reduced(embeddings)
    nearest, distances = _neighbours(points)
    quality, suspects, notices = _label_errors(manifest, points, seed)
    remarks = [
        *(Remark("corrupt", name, "", "", None, reason) for name, reason in sorted((skipped or {}).items())),
        *_torn_groups(manifest),
        *_twins(manifest, digests, nearest, looks),
        *suspects,
        *_outliers(manifest, distances),
        *_odd_sizes(manifest, looks),
    ]
    order = list(KINDS)
    places, mapped = _map(points, seed, map_at_most)
    return Audit(
        len(manifest),
        manifest.counts(),
        _sizes(looks),
        dict(Counter(look.mode for look in looks).most_common()),
        sorted(remarks, key=lambda remark: order.index(remark.kind)),
        quality,
        places,
        mapped,
        notices,
    )


def reduced(embeddings: NDArray[Any]) -> NDArray[np.float32]:
    """Return the principal components [n, 256 at most] of standardized embeddings, scaled to a spread of 1."""
    rows = embeddings.astype(np.float32)
    rows -= rows.mean(0)
    rows /= np.maximum(rows.std(0), 1e-6)
    if len(rows) < 2:
        return np.zeros((len(rows), 1), np.float32)
    points = fit_pca(rows, COMPONENTS).transform(rows)
    return np.asarray(points / max(float(points.std()), 1e-6), np.float32)


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


def _twins(
    manifest: Manifest, digests: Sequence[str], nearest: NDArray[np.int64], looks: Sequence[Look]
) -> list[Remark]:
    """Judge each pair: a conflict of labels, else a duplicate; and a leak where it lies in two parts or groups."""
    exact = [(twins[0], other) for twins in identical(digests) for other in twins[1:]]
    near = near_duplicates(looks, nearest)
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


# ---- wrong labels, and pictures that do not belong ------------------------------------------------------------------


def _label_errors(
    manifest: Manifest, points: NDArray[np.float32], seed: int
) -> tuple[NDArray[np.float64] | None, list[Remark], list[str]]:
    """Find labels that a linear model, trained without the picture, does not believe (confident learning).

    Northcutt, Jiang & Chuang, "Confident Learning", JAIR 2021; the pruning is cleanlab's ``both``: with 5 % of the
    labels of 5,333 cells swapped it names 9 in 10 of them, and 1 % of the pictures when none is swapped.
    """
    try:
        believed = out_of_fold(manifest, points, seed)
    except SplitError as reason:
        return None, [], [f"Labels were not judged: {reason}"]
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores

    labels = manifest.labels
    quality = np.asarray(get_label_quality_scores(labels, believed), np.float64)
    wrong = find_label_issues(labels, believed, filter_by="both", return_indices_ranked_by="self_confidence", n_jobs=1)
    remarks = []
    for index in wrong:
        guess = int(believed[index].argmax())
        said = f"rather {manifest.classes[guess]} ({believed[index, guess]:.3f})"
        remarks.append(_remark(manifest, index, "label-error", float(quality[index]), said))
    return quality, remarks, []


def out_of_fold(manifest: Manifest, points: NDArray[np.float32], seed: int = 0) -> NDArray[np.float64]:
    """Return probabilities [n, k] from linear models that have not seen the picture, nor its group.

    Raises:
        SplitError: a class has fewer than 3 pictures, or groups.
    """
    from scipy.special import softmax

    believed = np.zeros((len(manifest), len(manifest.classes)))
    for fold in into_folds_at_most(manifest, FOLDS, seed=seed):
        train, val, test = (fold.part(part) for part in ("train", "val", "test"))
        labels = fold.labels
        weights, biases, _ = fit_linear(points[train], labels[train], points[val], labels[val])
        believed[test] = softmax(points[test] @ weights.T + biases, axis=1)
    return believed


def _outliers(manifest: Manifest, distances: NDArray[np.float64]) -> list[Remark]:
    """Find pictures far from their nearest; among photographs of everything, little is out of place."""
    times = distances / max(float(np.median(distances)), 1e-9)
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


def _sizes(looks: Sequence[Look]) -> dict[str, int]:
    sides = {"width": [look.width for look in looks], "height": [look.height for look in looks]}
    return {
        f"{name}_{side}": int(np.quantile(values, share))
        for side, values in sides.items()
        for name, share in (("least", 0.0), ("median", 0.5), ("largest", 1.0))
    }


def _odd_sizes(manifest: Manifest, looks: Sequence[Look]) -> list[Remark]:
    shorter = np.array([min(look.width, look.height) for look in looks])
    stretched = np.array([max(look.width, look.height) for look in looks]) / shorter
    small = shorter * SMALL < np.median(shorter)
    long = stretched > LONG * np.median(stretched)
    return [
        _remark(manifest, index, "odd-size", None, f"{looks[index].width} x {looks[index].height} pixels")
        for index in np.flatnonzero(small | long).tolist()
    ]


# ---- the map --------------------------------------------------------------------------------------------------------


def _map(points: NDArray[np.float32], seed: int, at_most: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Lay the pictures out on a plane, the like beside the like (t-SNE); of many a random choice."""
    from sklearn.manifold import TSNE

    chosen = np.arange(len(points))
    if len(points) > at_most:
        chosen = np.sort(np.random.default_rng(seed).choice(len(points), at_most, replace=False))
    if len(chosen) < 8:
        return np.asarray(np.pad(points[chosen], ((0, 0), (0, 2)))[:, :2], np.float64), chosen
    perplexity = min(30.0, (len(chosen) - 1) / 3)
    places = TSNE(2, perplexity=perplexity, init="pca", random_state=seed).fit_transform(points[chosen, :50])
    return np.asarray(places, np.float64), chosen
