"""Find near duplicates: one picture resized, encoded anew, brightened, mirrored, cropped a little, turned by any angle.

Neither of the two usual ways will do on pictures that all look alike. Perceptual hashes (64 bits) call a thousand pairs
of different blood cells the same before they find most copies, and miss mirrored and cropped ones; the distance of
embeddings has no threshold that holds for two data sets. So candidates come from both sides, the nearest embeddings and
the nearest in what no turn changes, and the two pictures of each are then laid over each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from regraft.data import Thumbnail

ALIKE = 0.75
"""How alike two pictures are at least, whitened and laid over each other, to be called the same."""

FAINT = 0.1
"""What is asked for beyond, divided by the number of noise levels that the fainter of the two stands out: where there
is little to see, little is alike by chance."""

USUAL, STRICTER = 0.3, 0.2
"""Of photographs of everything, 1 pair in 100 is as alike as `USUAL`; where any two pictures are more alike, as round
cells are, this share of the difference is asked for beyond as well."""

OUTSTANDING = 0.5
"""How much of the difference to the most alike picture that is no copy two copies may have at most. One wall of bricks
is like the next, but no more than like a third; a copy stands out (Lowe, IJCV 2004, tells matches so, at 0.8). All of
these were chosen on planted copies of blood cells and of patches of textures; `benchmarks/copies.py` says what they
find and what they take for copies, there and elsewhere."""

OTHER_COLOUR = 0.08
"""Difference in the shares of red, green and blue, summed up, from which two coloured pictures are of different things.
Light and JPEG at 60 change them by 0.02 at most; black corners do not. A grey picture may be a copy of any colour."""

FINE_GRAIN = 4.0  # noise levels: what shows less from afar is looked at from near as well; 1 in 10 blood cells
COLOURED = 0.03  # of the same, from grey
ASKEW = 0.05  # radians
OTHER_SHAPE = 1.03  # times: a picture so much wider for its height than another may be the same, squeezed

Pairs = NDArray[np.int64]  # [m, 2], each with the smaller index first


def near_duplicates(thumbnails: Sequence[Thumbnail], nearest: NDArray[np.int64]) -> list[tuple[int, int, float]]:
    """Return the pairs of pictures that are copies of each other, and how alike they are (0.75 to 1).

    Time grows with n, but for a matrix product with 64 numbers a picture; memory with n. What was found is kept, and
    asking for the same pictures again takes no time.

    Args:
        thumbnails: of `regraft.data.read_thumbnails` [n].
        nearest: for each picture the indices of those with the nearest embeddings, int [n, k]; itself may be there.
    """
    from regraft.activations.computed import computed, fingerprint  # it needs torch

    if len(thumbnails) < 2:
        return []
    greys, shapes, tints = (
        np.array(values)
        for values in zip(*((thumbnail.grey, thumbnail.shape, thumbnail.tint) for thumbnail in thumbnails), strict=True)
    )
    middles = [thumbnail.middle for thumbnail in thumbnails if thumbnail.middle is not None]
    which = [thumbnail.middle is not None for thumbnail in thumbnails]
    recipe = {"pictures": fingerprint(greys, shapes, np.array(middles), np.array(which)), "near": fingerprint(nearest)}

    def search() -> dict[str, NDArray[Any]]:
        found = _found(thumbnails, greys, shapes, _unique(nearest))
        return {"pairs": np.array(list(found), np.int64).reshape(-1, 2), "alike": np.array(list(found.values()))}

    kept = computed([__file__, str(Path(__file__).with_name("registration.py"))], recipe, search)
    pairs = zip(kept["pairs"].tolist(), kept["alike"].tolist(), strict=True)
    return [(one, other, alike) for (one, other), alike in pairs if _of_one_colour(tints[one], tints[other])]


def _found(
    thumbnails: Sequence[Thumbnail], greys: NDArray[np.uint8], shapes: NDArray[np.float64], pairs: Pairs
) -> dict[tuple[int, int], float]:
    """Return the pairs that are the same picture, of whatever colour, in order, and how alike they are."""
    radii = _radii(shapes)
    found = _alike(greys, radii, pairs)
    wide, narrow = shapes[pairs].max(1), shapes[pairs].min(1)
    squeezed = _alike(greys, np.ones_like(radii), pairs[wide > OTHER_SHAPE * narrow], upright=True)
    more = squeezed | _alike_from_near(thumbnails, greys, radii)
    for pair, score in more.items():
        found[pair] = max(score, found.get(pair, 0.0))
    return dict(sorted(found.items()))


def _alike_from_near(
    thumbnails: Sequence[Thumbnail], greys: NDArray[np.uint8], radii: NDArray[np.float32]
) -> dict[tuple[int, int], float]:
    """Return the pairs among pictures that show little from afar whose middles are the same."""
    from regraft.audit.registration import strengths

    faint = [
        at for at in np.flatnonzero(strengths(greys, radii) < FINE_GRAIN).tolist() if thumbnails[at].middle is not None
    ]
    if len(faint) < 2:
        return {}
    middles = np.array([thumbnails[at].middle for at in faint])
    found = _alike(middles, radii[faint], np.zeros((0, 2), np.int64))
    return {(faint[one], faint[other]): score for (one, other), score in found.items()}


def _of_one_colour(one: NDArray[np.float64], other: NDArray[np.float64]) -> bool:
    grey = min(np.abs(tint - 1 / 3).sum() for tint in (one, other)) < COLOURED
    return bool(grey or np.abs(one - other).sum() < OTHER_COLOUR)


def clusters(pairs: Iterable[tuple[int, int]]) -> list[list[int]]:
    """Return the sets of pictures that pairs connect, each in order, in the order of their first members."""
    of: dict[int, list[int]] = {}
    for one, other in pairs:
        joined = sorted({*of.get(one, [one]), *of.get(other, [other])})
        of |= dict.fromkeys(joined, joined)
    return sorted({members[0]: members for members in of.values()}.values())


def _radii(shapes: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Return how far the largest disc in each picture reaches along its width and height, of half of each [n, 2]."""
    return np.stack([np.minimum(1, 1 / shapes), np.minimum(1, shapes)], 1).astype(np.float32)


def _unique(nearest: NDArray[np.int64]) -> Pairs:
    """Return each picture beside each of its nearest [n, k]: every pair once, none of a picture beside itself."""
    pairs = np.sort(np.stack([np.repeat(np.arange(len(nearest)), nearest.shape[1]), nearest.ravel()], 1), axis=1)
    return np.unique(pairs[pairs[:, 0] != pairs[:, 1]], axis=0).reshape(-1, 2)


def _alike(
    greys: NDArray[np.uint8], radii: NDArray[np.float32], known: Pairs, *, upright: bool = False
) -> dict[tuple[int, int], float]:
    """Return the pairs that are the same picture, and how alike they are; `upright`: turned by quarters alone."""
    from regraft.audit.registration import register  # it needs torch

    found = register(greys, radii, known, upright=upright)
    unusual = max(found.chance - USUAL, 0.0) * STRICTER
    near = found.alike >= ALIKE + unusual + FAINT / np.maximum(found.strength, 1e-6)
    strangers = np.full(len(greys), found.chance)
    for ends in found.pairs[~near].T:
        np.maximum.at(strangers, ends, found.alike[~near])
    same = near & (1 - found.alike <= OUTSTANDING * (1 - strangers[found.pairs].max(1)))
    if upright:  # a picture that is squeezed after it was turned is no longer turned where it is squeezed back
        same &= np.abs(np.angle(found.turn**4) / 4) < ASKEW
    scores = np.minimum(found.alike[same], 1.0).tolist()
    return {(one, other): score for (one, other), score in zip(found.pairs[same].tolist(), scores, strict=True)}


def fit_pca(rows: NDArray[np.float32], most: int) -> Any:
    """Return scikit-learn's PCA of rows [n, c], with so many components at most.

    Where there are more, they are found by random projections (Halko, Martinsson & Tropp, SIAM Review 2011), with two
    steps of power iteration, which they advise: four, scikit-learn's choice, took 2 to 5 times as long and explained
    0.0001 more of the variance.
    """
    from sklearn.decomposition import PCA

    count = min(most, *rows.shape)
    with np.errstate(invalid="ignore"):  # rows that are all the same have no variance to take a share of
        solver = "randomized" if count == most else "full"
        return PCA(count, svd_solver=solver, iterated_power=2, random_state=0).fit(rows)
