"""Find near duplicates: the same picture resized, encoded anew, brightened, mirrored, turned or cropped a little.

Neither of the two usual ways will do on pictures that all look alike. Perceptual hashes (64 bits) call a thousand pairs
of different blood cells the same before they find most copies, and miss mirrored and cropped ones; the distance of
embeddings has no threshold that holds for two data sets. So candidates come from both sides, the nearest embeddings and
the nearest small grey pictures, and each pair is then laid over each other, pixel by pixel, in eight orientations and a
few crops. What all pictures have in common (a dark frame round a cell) is taken away first.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

ALIKE = 0.96
"""Correlation from which two pictures are called the same. Of 420 planted copies of blood cells and insects (resized,
JPEG at 60, cropped by 8 and 12 %, mirrored, turned, brightened) 383 are found; of 5,730 other pictures no pair is."""

CROPS = (0.96, 0.92, 0.88)
"""Shares of the side that are left; each is tried at nine places."""

FEW = 20  # with fewer pictures their mean says more about each one than about what is common
COMPONENTS = 64  # of a small grey picture, where its nearest ones are looked for
PAIRS_AT_ONCE = 256  # 30 MB of crops

Grey = NDArray[np.float32]  # [n, s, s]
Pairs = NDArray[np.int64]  # [m, 2], each with the smaller index first


def near_duplicates(greys: NDArray[np.uint8], nearest: NDArray[np.int64]) -> list[tuple[int, int, float]]:
    """Return the pairs of pictures that are copies of each other, and how alike they are (0.96 to 1).

    Time grows with n^2 (a matrix product with 64 numbers a picture), memory with n.

    Args:
        greys: small grey pictures, uint8 [n, s, s].
        nearest: for each picture the indices of those with the nearest embeddings, int [n, k]; itself may be there.
    """
    if len(greys) < 2:
        return []
    shared = greys.mean(0, dtype=np.float32) if len(greys) >= FEW else np.zeros(greys.shape[1:], np.float32)
    as_they_are = _unique(_alike_in_some_orientation(greys, shared))
    by_embedding = _unique(np.stack([np.repeat(np.arange(len(nearest)), nearest.shape[1]), nearest.ravel()], 1))
    found: dict[tuple[int, int], float] = {}
    blank = greys.std((1, 2)) < 1  # without what all share, these are all alike
    for pairs, crops in ((as_they_are, ()), (by_embedding, CROPS)):
        pairs = pairs[~blank[pairs].any(1)]
        for part in np.array_split(pairs, len(pairs) // PAIRS_AT_ONCE + 1) if len(pairs) else ():
            scores = _compare(greys, shared, part, crops)
            for (one, other), score in zip(part.tolist(), scores.tolist(), strict=True):
                if score >= ALIKE:
                    found[one, other] = max(score, found.get((one, other), 0.0))
    return [(one, other, min(score, 1.0)) for (one, other), score in sorted(found.items())]


def fit_pca(rows: NDArray[np.float32], most: int) -> Any:
    """Return scikit-learn's PCA of rows [n, c], with so many components at most.

    Where there are more, they are found by random projections (Halko, Martinsson & Tropp, SIAM Review 2011).
    """
    from sklearn.decomposition import PCA

    count = min(most, *rows.shape)
    with np.errstate(invalid="ignore"):  # rows that are all the same have no variance to take a share of
        return PCA(count, svd_solver="randomized" if count == most else "full", random_state=0).fit(rows)


def _unique(pairs: Pairs) -> Pairs:
    """Sort each pair, leave out pictures beside themselves, and name each pair once."""
    ordered = np.sort(pairs[pairs[:, 0] != pairs[:, 1]], axis=1)
    return np.unique(ordered, axis=0).reshape(-1, 2)


def _alike_in_some_orientation(greys: NDArray[np.uint8], shared: Grey) -> Pairs:
    """Return each picture beside the nearest one in each of the eight orientations."""
    from sklearn.neighbors import NearestNeighbors

    plain = _normed(greys.astype(np.float32), shared)
    pca = fit_pca(plain, COMPONENTS)
    index = NearestNeighbors(n_neighbors=2, algorithm="brute").fit(pca.transform(plain))
    pairs = []
    for turned in _orientations(greys.astype(np.float32)):
        found = index.kneighbors(pca.transform(_normed(turned, shared)), return_distance=False)
        pairs.append(np.stack([np.repeat(np.arange(len(greys)), 2), found.ravel()], 1))
    return np.concatenate(pairs)


def _compare(greys: NDArray[np.uint8], shared: Grey, pairs: Pairs, crops: tuple[float, ...]) -> NDArray[np.float32]:
    """Return the highest correlation [m] of each pair, over orientations and crops of either of the two.

    To turn the moved picture, or to turn the other one and what is shared back, comes to the same: so all crops meet
    all orientations in one matrix product a pair, [crops, s * s] x [s * s, 8].
    """
    best = np.full(len(pairs), -1, np.float32)
    frame = shared - shared.mean()
    frames = np.concatenate([_rows(turned) for turned in _orientations(frame[None])])  # [8, s * s]
    for still, moved in ((0, 1), (1, 0)) if crops else ((0, 1),):
        fixed = _normed(greys[pairs[:, still]].astype(np.float32), shared)
        turned = np.stack([_rows(one) for one in _orientations(fixed.reshape(-1, *shared.shape))], 1)  # [m, 8, s * s]
        laid = np.stack([_rows(one) for one in _cropped(greys[pairs[:, moved]].astype(np.float32), crops)], 1)
        laid -= laid.mean(2, keepdims=True)  # [m, crops, s * s]
        products = laid @ turned.swapaxes(1, 2) - (fixed @ frame.ravel())[:, None, None]  # [m, crops, 8]
        squares = np.einsum("mcp,mcp->mc", laid, laid)[:, :, None] - 2 * (laid @ frames.T) + (frame**2).sum()
        # a length below 1 is rounding: the picture is what all share, and is like no other
        np.maximum(best, (products / np.sqrt(np.maximum(squares, 1.0))).max((1, 2)), out=best)
    return best


def _rows(pictures: Grey) -> NDArray[np.float32]:
    return pictures.reshape(len(pictures), -1)


def _normed(pictures: Grey, shared: Grey) -> NDArray[np.float32]:
    """Return rows [n, s * s] of mean 0 and length 1: their products are correlations. A blank picture becomes 0."""
    rows = _rows(pictures - shared)
    rows = rows - rows.mean(1, keepdims=True)
    normed: NDArray[np.float32] = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-3)
    return normed


def _orientations(pictures: Grey) -> Iterator[Grey]:
    for side in (pictures, pictures[:, :, ::-1]):
        for quarter_turns in range(4):
            yield np.rot90(side, quarter_turns, axes=(1, 2))


def _cropped(pictures: Grey, crops: tuple[float, ...]) -> Iterator[Grey]:
    """Yield the pictures as they are, and each crop brought back to full size."""
    yield pictures
    side = pictures.shape[1]
    for share in crops:
        cuts = [_resampling(side, share, place) for place in (0.0, 0.5, 1.0)]
        for rows in cuts:
            for columns in cuts:
                yield rows @ pictures @ columns.T


def _resampling(side: int, share: float, place: float) -> NDArray[np.float32]:
    """Return the matrix [s, s] that stretches a share of a line, at its start (0) to its end (1), to the whole line."""
    at = np.clip(place * side * (1 - share) + (np.arange(side) + 0.5) * share - 0.5, 0, side - 1)
    left, weight = np.floor(at).astype(int), at - np.floor(at)
    matrix = np.zeros((side, side), np.float32)
    np.add.at(matrix, (np.arange(side), left), 1 - weight)
    np.add.at(matrix, (np.arange(side), np.minimum(left + 1, side - 1)), weight)
    return matrix
