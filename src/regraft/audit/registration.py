"""Lay pictures over each other, turned by any angle, mirrored, shifted and scaled a little -> how alike each pair is.

Of each picture the disc that fits into it is sampled in rings. Along a ring a turn is a shift, so that one Fourier
transform tries all angles (Reddy & Chatterji, IEEE Transactions on Image Processing 1996, who do so on spectra). Places
and sizes of the disc are tried in a few steps, and what comes near is refined by Gauss and Newton (the inverse
compositional way of Baker & Matthews, IJCV 2004).

Compared are not grey values. What varies most among the pictures of one data set, whichever way they are turned - soft
gradients of light, a round outline on black - says little about copies, and what tells them apart is faint. So samples
are whitened: each pattern is divided by how much it varies from picture to picture, and by the noise of a copy (a
matched filter in coloured noise). What is left of unrelated pictures is alike by chance alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits
from torch import Tensor
from torch.nn.functional import grid_sample

from regraft.utils.machine import cores

DISC = 0.95  # of the largest disc in a picture: at its very edge a turned copy is mixed with what fills its corners
NOISE = 8.0  # grey levels: weaker patterns are as much the work of JPEG and resampling as of what was photographed
ASSUMED = 50  # pictures: how patterns vary is an assumption that so many pictures outweigh
PLAIN = 1.5  # noise levels: a disc that shows less is a plain surface
MEASURED = 2000  # pictures that show how patterns vary
BEGIN_AT = 0.6  # how alike two discs must be at a step for a refinement: of 1,500 copies 1 in 100 is below
ANY_TWO = 1000  # pairs that show how alike any two pictures are
RIVALS = (
    0.9  # of the best: mirrored or not, and which of the two is the part of the other, may be told by refining only
)
ROUNDS = 4  # of refinement at the first level: a fifth moves nothing
FINE_ROUNDS = 2  # at the second, which begins where the first ended: 1 copy in 100 loses 0.002 by it
GO_ON_AT = 0.75  # how alike two discs must be at the first level for the second: no copy was below
LONGEST_STEP = 0.1  # of the radius: a Gauss-Newton step that goes further has left what it was derived for
AT_ONCE = 256  # pairs, 20 MB


class Search(NamedTuple):
    """Parts of a picture that may be the whole of another, and how many others are compared with the best of them."""

    steps: tuple[tuple[float, complex], ...]  # size and place of the part, in radii
    nearest: int


def _around(share: float, places: int) -> list[tuple[float, complex]]:
    circle = (1 - share) * np.exp(2j * np.pi * np.arange(places) / places)
    return [(share, 0j), *((share, complex(place)) for place in circle)]


SEARCHES = (
    Search(((1.0, 0j),), 3),
    Search((*_around(0.95, 4), *_around(0.9, 6)), 8),  # cropped, from anywhere
    Search(((0.8, 0j), (0.72, 0j), (0.66, 0j), (0.6, 0j)), 2),  # turned, and cut to a rectangle again, or enlarged
)
"""What is tried. Each is searched for itself: small parts show less, and more is like them."""

STEPS = tuple(step for search in SEARCHES for step in search.steps)
TRIED = 2  # steps for a pair that comes from elsewhere, in either direction
COMPONENTS = 64  # of what no turn changes, where the nearest are looked for


@dataclass(frozen=True)
class Rings:
    """Where a disc is sampled: on rings of equal areas, after a blur that keeps the samples from missing anything."""

    count: int
    angles: int
    blur: float  # pixels

    @property
    def frequencies(self) -> int:
        """How many waves fit on a ring: 0 to half the angles."""
        return self.angles // 2 + 1

    def points(self) -> Tensor:
        """Return the samples as complex numbers [count * angles], ring by ring, in radii of the disc."""
        radius = DISC * torch.sqrt((torch.arange(self.count) + 0.5) / self.count)
        angle = torch.arange(self.angles) * (2 * torch.pi / self.angles)
        return torch.polar(*torch.broadcast_tensors(radius[:, None], angle)).flatten()

    def spectra(self, samples: Tensor) -> Tensor:
        """Return the waves [..., frequencies, count] on the rings of real samples [..., count * angles], unitary."""
        waves: Tensor = torch.fft.rfft(samples.unflatten(-1, (self.count, self.angles)), dim=-1, norm="ortho")
        twice = torch.full((self.frequencies, 1), 2**0.5)  # each wave but the first and last stands for two
        twice[0] = twice[-1] = 1
        return waves.transpose(-1, -2) * twice


COARSE, FINE = Rings(10, 48, 1.5), Rings(16, 64, 1.0)


class Whitening(NamedTuple):
    """What makes a row of samples comparable: ``samples @ matrix - shift``."""

    matrix: Tensor  # [samples, 2 * frequencies * rings]: real and imaginary parts side by side
    shift: Tensor  # [2 * frequencies * rings]

    def __call__(self, samples: Tensor) -> tuple[Tensor, Tensor]:
        """Return whitened rows of length 1, and by how many noise levels what each row shows stands out.

        A plain surface shows nothing, though it differs from what all pictures share.
        """
        patterns = samples @ self.matrix
        rows = patterns - self.shift
        return _unit(rows), rows.norm(dim=-1) * (patterns.norm(dim=-1) >= PLAIN)


def fit_whitening(rings: Rings, samples: Tensor) -> Whitening:
    """Measure how patterns vary over samples [n, count * angles], and return what levels them.

    Turned pictures vary alike at all angles: so waves of different frequencies are independent, and each frequency has
    a covariance matrix of its own, over rings. The mean over all angles is what all pictures share; brightness is left
    out.
    """
    count, eye = len(samples), torch.eye(rings.count, dtype=torch.complex64)
    level = eye - 1 / rings.count  # takes a disc's brightness away
    waves = rings.spectra(samples)
    waves[:, 0] = waves[:, 0] @ level
    shared = waves[:, 0].mean(0) * (count / (count + ASSUMED))
    waves[:, 0] -= shared
    products = torch.einsum("nfr,nfs->frs", waves, waves.conj())
    power = torch.diagonal(products, dim1=1, dim2=2).real.mean(1)[:, None, None] / max(count, 1)
    covariance = (products + ASSUMED * power * eye) / (count + ASSUMED) + NOISE**2 * eye
    values, vectors = torch.linalg.eigh(covariance)
    filters = (vectors * values.rsqrt()[:, None]) @ vectors.mH  # [frequencies, rings, rings]
    filters[0] = filters[0] @ level
    matrix = torch.einsum("frs,kfs->kfr", filters, rings.spectra(torch.eye(rings.count * rings.angles)))
    shift = torch.zeros_like(matrix[0])
    shift[0] = filters[0] @ shared
    return Whitening(torch.view_as_real(matrix).flatten(1).contiguous(), torch.view_as_real(shift).flatten())


@dataclass(frozen=True, eq=False)
class Level:
    """All pictures, blurred for one kind of rings, and their whitened discs."""

    rings: Rings
    pictures: Tensor  # float [n, 1, s, s]
    whitening: Whitening
    discs: Tensor  # [n, d]: whitened, of length 1
    strength: Tensor  # [n]: by how many noise levels what they show stands out

    @classmethod
    def of(cls, greys: NDArray[np.uint8], radii: Tensor, rings: Rings) -> Level:
        """Blur and sample the pictures, and measure how their patterns vary."""
        from scipy.ndimage import gaussian_filter

        blurred = gaussian_filter(greys.astype(np.float32), (0, rings.blur, rings.blur))
        pictures, points = torch.from_numpy(blurred)[:, None], rings.points()
        chunks = zip(pictures.split(AT_ONCE), radii.split(AT_ONCE), strict=True)
        samples = torch.cat([_sample(some, their, points.expand(len(some), -1))[:, 0] for some, their in chunks])
        whitening = fit_whitening(rings, samples[:: -(-len(samples) // MEASURED)])
        return cls(rings, pictures, whitening, *whitening(samples))


class Alignments(NamedTuple):
    """Where the whole of one picture is thought to lie in another: at ``turn * z + move``, z mirrored before or not."""

    part: Tensor  # [h] the picture in which it lies
    whole: Tensor  # [h] the picture that lies there
    mirrored: Tensor  # bool [h]
    turn: Tensor  # complex [h]: angle, and size in radii
    move: Tensor  # complex [h]


class Registered(NamedTuple):
    """Pairs that were laid over each other."""

    pairs: NDArray[np.int64]  # [m, 2], the smaller index first
    alike: NDArray[np.float32]  # [m], -1 to 1: correlation of the whitened discs, where it is highest
    strength: NDArray[np.float32]  # [m] by how many noise levels the fainter of the two stands out
    turn: NDArray[np.complex64]  # [m] by what angle one is turned, and its size in the other
    chance: float  # how alike 1 in 100 of any two pictures are, turned till they fit best


def register(
    greys: NDArray[np.uint8], radii: NDArray[np.float32], known: NDArray[np.int64], *, upright: bool = False
) -> Registered:
    """Look for copies among pictures, and lay over each other what comes near.

    Compared are, of each picture, those that are nearest in what no turn and no mirror changes, for several parts of
    it, and the pairs that are `known` to come near in some other way.

    Time grows with n, but for a matrix product of n^2 with 1,000 numbers; memory with n, 50 kB for each of 64 pixels.

    Args:
        greys: small grey pictures, uint8 [n, s, s].
        radii: of the disc in each, along its width and its height, as a share of half its side [n, 2].
        known: [k, 2].
        upright: none was turned and cut to a rectangle again: that is not looked for.
    """
    with _one_thread_each():
        return _register(greys, torch.from_numpy(radii), torch.from_numpy(known), SEARCHES[:2] if upright else SEARCHES)


def _register(greys: NDArray[np.uint8], sides: Tensor, known: Tensor, searches: tuple[Search, ...]) -> Registered:
    coarse = Level.of(greys, sides, COARSE)
    places, alike = _turned(coarse, sides, *_steps(coarse, sides, known, searches))
    places, alike, strength = _refined(coarse, sides, _rivals(places, alike), ROUNDS)
    near, chance = alike >= GO_ON_AT, _chance(coarse, sides)
    del coarse  # 16 kB a picture, which the next level takes
    fine = Level.of(greys, sides, FINE)
    nearer, alike[near], strength[near] = _refined(
        fine, sides, Alignments(*(values[near] for values in places)), FINE_ROUNDS
    )
    places.turn[near] = nearer.turn
    order = alike.argsort(stable=True)  # of each pair the best place comes last
    pairs, which = _pairs(places)[order].unique(dim=0, return_inverse=True)
    last = torch.zeros(len(pairs), dtype=torch.long).scatter_reduce(0, which, torch.arange(len(order)), "amax")
    best = order[last]
    turn = places.turn[best].numpy()
    return Registered(pairs.numpy(), alike[best].numpy(), strength[best].numpy(), turn, chance)


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Let each piece of work keep to one thread, since pieces are worked on beside each other.

    Threads that share a piece wait for each other: on a busy machine that took 20 times as long.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(threads)


_One = TypeVar("_One")
_Other = TypeVar("_Other")


def _beside(work: Callable[[_One], _Other], pieces: Iterable[_One]) -> list[_Other]:
    with ThreadPoolExecutor(cores()) as pool:
        return list(pool.map(work, pieces))


def _chance(level: Level, radii: Tensor) -> float:
    count = len(level.discs)
    one, other = torch.randint(count, (2, ANY_TWO), generator=torch.Generator().manual_seed(0))
    one, other = one[one != other], other[one != other]
    alike = _turned(level, radii, one, torch.zeros_like(one), other)[1].unflatten(0, (-1, 2)).amax(1)
    return float(alike.quantile(0.99)) if count >= ASSUMED else 0.0


def _pairs(places: Alignments) -> Tensor:
    return torch.stack([places.part, places.whole], 1).sort(1).values


def strengths(greys: NDArray[np.uint8], radii: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return by how many noise levels what each picture shows stands out [n]; 0 for plain surfaces."""
    with _one_thread_each():
        found: NDArray[np.float32] = Level.of(greys, torch.from_numpy(radii), FINE).strength.numpy()
    return found


def _sample(pictures: Tensor, radii: Tensor, points: Tensor) -> Tensor:
    """Return the values [n, c, k] of pictures [n, c, s, s] at complex points [n, k], in radii from the middle."""
    grid = torch.view_as_real(points.resolve_conj()) * radii[:, None]
    found = grid_sample(pictures, grid[:, :, None], align_corners=False, padding_mode="border")
    values: Tensor = found[..., 0]
    return values


def _unit(rows: Tensor) -> Tensor:
    length: Tensor = torch.linalg.vector_norm(rows, dim=-1, keepdim=True)
    return rows / length.clamp_min(1e-6)


def _complex(rows: Tensor, rings: Rings) -> Tensor:
    return torch.view_as_complex(rows.unflatten(-1, (rings.frequencies, rings.count, 2)))


# ---- steps ----------------------------------------------------------------------------------------------------------


def _steps(level: Level, radii: Tensor, known: Tensor, searches: tuple[Search, ...]) -> tuple[Tensor, Tensor, Tensor]:
    """Return which step of which picture is to be compared with the whole of which other: part, step, whole [h].

    Compared is what no turn and no mirror changes: of the waves on the rings, at each frequency, how they lie to each
    other (the real part of their products; the imaginary one changes its sign in a mirror).
    """
    from sklearn.decomposition import PCA

    wholes = _invariants(_complex(level.discs, level.rings)).numpy()
    count = min(COMPONENTS, *wholes[:MEASURED].shape)
    with np.errstate(invalid="ignore"):  # pictures that are all the same have no variance to take a share of
        pca = PCA(count, svd_solver="randomized", random_state=0).fit(wholes[:: -(-len(wholes) // MEASURED)])
    points = _unit(torch.from_numpy(pca.transform(wholes)).float())
    both_ways = torch.cat([known, known.flip(1)])
    both_ways = both_ways[both_ways[:, 0].argsort(stable=True)]

    def compared(some: Tensor) -> Tensor:
        rows = _complex(_parts(level, radii, some, searches), level.rings)  # [c, steps, f, r]
        parts = _unit(torch.from_numpy(pca.transform(_invariants(rows).flatten(0, 1).numpy())).float())
        alike = (parts @ points.T).unflatten(0, (len(some), -1))  # [c, steps, n]
        alike[torch.arange(len(some)), :, some] = -torch.inf
        asked = both_ways[(both_ways[:, 0] >= some[0]) & (both_ways[:, 0] <= some[-1])]
        best = alike[asked[:, 0] - some[0], :, asked[:, 1]]
        best = best.topk(min(TRIED, best.shape[1]), 1).indices
        nearby = torch.stack([asked[:, :1].expand_as(best), best, asked[:, 1:].expand_as(best)], 2).flatten(0, 1)
        return torch.cat([*_nearest(alike, some, searches), nearby])

    found = _beside(compared, torch.arange(len(points)).split(AT_ONCE // 4))
    part, step, whole = torch.cat(found).unique(dim=0).unbind(1)
    return part, step, whole


def _nearest(alike: Tensor, some: Tensor, searches: tuple[Search, ...]) -> list[Tensor]:
    """Return part, step and whole [h, 3] of the nearest in each search; `alike` are steps and wholes [c, steps, n]."""
    found, first = [], 0
    for search in searches:
        best, step = alike[:, first : first + len(search.steps)].max(1)
        whole = best.topk(min(search.nearest, best.shape[1] - 1), 1).indices
        found.append(
            torch.stack([some[:, None].expand_as(whole), first + step.gather(1, whole), whole], 2).flatten(0, 1)
        )
        first += len(search.steps)
    return found


def _invariants(waves: Tensor) -> Tensor:
    """Return what no turn and no mirror changes of waves [..., f, r]: a row [..., f * r * (r + 1) / 2] of length 1."""
    one, other = torch.triu_indices(waves.shape[-1], waves.shape[-1])
    evened = waves / torch.linalg.vector_norm(waves, dim=-1, keepdim=True).clamp_min(1e-6).sqrt()
    products: Tensor = (evened[..., one] * evened[..., other].conj()).real
    return (products * torch.where(one == other, 1.0, 2**0.5)).flatten(-2)


def _parts(level: Level, radii: Tensor, which: Tensor, searches: tuple[Search, ...]) -> Tensor:
    """Return all steps of some pictures, whitened [c, steps, d]."""
    points, steps = level.rings.points(), [step for search in searches for step in search.steps]
    tried = torch.cat([share * points + place for share, place in steps]).expand(len(which), -1)
    samples = _sample(level.pictures[which], radii[which], tried)[:, 0]
    return level.whitening(samples.unflatten(1, (len(steps), -1)))[0]


def _turned(level: Level, radii: Tensor, part: Tensor, step: Tensor, whole: Tensor) -> tuple[Alignments, Tensor]:
    """Turn steps of pictures by all angles, mirrored or not; returns the best places [2 h], and how alike [2 h]."""
    rings, points = level.rings, level.rings.points()
    share = torch.tensor([share for share, _ in STEPS])[step]
    move = torch.tensor([place for _, place in STEPS], dtype=torch.complex64)[step]
    alike, angle = torch.empty(len(part), 2), torch.empty(len(part), 2, dtype=torch.long)

    def turn_all(some: Tensor) -> None:
        places = share[some, None] * points + move[some, None]
        rows, _ = level.whitening(_sample(level.pictures[part[some]], radii[part[some]], places)[:, 0])
        discs = _complex(level.discs[whole[some]], rings)
        both = torch.stack([discs.conj().resolve_conj(), discs], 1)  # mirrored, a ring runs the other way
        products = (_complex(rows, rings)[:, None] * both).sum(3)  # [h, mirrored, f]
        products[:, :, 1:-1] /= 2
        alike[some], angle[some] = torch.fft.irfft(products, n=rings.angles, norm="forward").max(2)

    _beside(turn_all, torch.arange(len(part)).split(AT_ONCE * 4))
    turn = torch.polar(share[:, None].expand_as(alike).contiguous(), angle * (2 * torch.pi / rings.angles))
    mirrored = torch.tensor([False, True]).expand_as(angle)
    twice = [values.repeat_interleave(2) for values in (part, whole, move)]
    return Alignments(twice[0], twice[1], mirrored.flatten(), turn.flatten(), twice[2]), alike.flatten()


def _rivals(places: Alignments, alike: Tensor) -> Alignments:
    """Return the places of each pair from which it is worth while to go on; of each way round the best one."""
    pairs, which = _pairs(places).unique(dim=0, return_inverse=True)
    way = 4 * which + 2 * places.mirrored + (places.part > places.whole)
    best = torch.zeros(len(pairs)).scatter_reduce(0, which, alike, "amax")[which]
    best_of_way = torch.zeros(4 * len(pairs)).scatter_reduce(0, way, alike, "amax")[way]
    kept = (alike == best_of_way) & (alike >= RIVALS * best) & (alike >= BEGIN_AT)
    return Alignments(*(values[kept] for values in places))


# ---- refinement -----------------------------------------------------------------------------------------------------


def _refined(level: Level, radii: Tensor, places: Alignments, rounds: int) -> tuple[Alignments, Tensor, Tensor]:
    """Move, turn and scale by Gauss and Newton; returns the best places, and correlation and strength there [h]."""
    alike, strength = torch.full((len(places.part),), -1.0), torch.zeros(len(places.part))
    turns, moves = places.turn.clone(), places.move.clone()

    def refine(some: Tensor) -> None:
        found = _refine(level, radii, Alignments(*(values[some] for values in places)), rounds)
        alike[some], strength[some], turns[some], moves[some] = found

    _beside(refine, places.whole.argsort(stable=True).split(AT_ONCE))
    return places._replace(turn=turns, move=moves), alike, torch.minimum(strength, level.strength[places.whole])


_Four = tuple[Tensor, Tensor, Tensor, Tensor]


def _refine(level: Level, radii: Tensor, places: Alignments, rounds: int) -> _Four:
    """Return correlation, strength, turn and move [h] of the best of a few rounds."""
    each, back = places.whole.unique(return_inverse=True)
    solving, discs = _slopes(level, radii, each), level.discs[places.whole]
    points = level.rings.points()
    laid = torch.where(places.mirrored[:, None], points.conj().resolve_conj(), points)
    pictures, sides = level.pictures[places.part], radii[places.part]
    turn, move = places.turn, places.move
    best = (torch.full(turn.shape, -1.0), torch.zeros(turn.shape), turn, move)
    for _ in range(rounds + 1):
        rows, strength = level.whitening(_sample(pictures, sides, turn[:, None] * laid + move[:, None])[:, 0])
        alike = (rows * discs).sum(1)
        now = (alike, strength, turn, move)
        best = _either(alike > best[0], now, best)
        turn, move = _moved(turn, move, _step(solving[back], rows / alike.clamp_min(0.2)[:, None]), places.mirrored)
    return best


def _either(which: Tensor, new: _Four, old: _Four) -> _Four:
    one, two, three, four = (torch.where(which, this, that) for this, that in zip(new, old, strict=True))
    return one, two, three, four


def _slopes(level: Level, radii: Tensor, which: Tensor) -> Tensor:
    """Return for each picture what tells from a difference how far to turn, scale and move it [u, 4, d]."""
    points, pictures = level.rings.points(), level.pictures[which]
    down, across = torch.gradient(pictures, dim=(2, 3))
    slopes = torch.cat([across, down], 1) * (pictures.shape[-1] / 2)  # grey levels per half a side
    everywhere = points.expand(len(which), -1)
    samples = _sample(torch.cat([pictures, slopes], 1), radii[which], everywhere)
    x, y = (samples[:, 1:] * radii[which][:, :, None]).unbind(1)
    ways = torch.stack([x * points.real + y * points.imag, y * points.real - x * points.imag, x, y], 1)
    discs, matrix = level.discs[which], level.whitening.matrix
    length = torch.linalg.vector_norm(samples[:, 0] @ matrix - level.whitening.shift, dim=1).clamp_min(1e-6)
    rows: Tensor = ways @ matrix / length[:, None, None]
    rows = rows - (rows @ discs[:, :, None]) * discs[:, None]  # a change of contrast is no move
    square = rows @ rows.mT
    damped = square + torch.diag_embed(1e-3 * square.diagonal(dim1=1, dim2=2) + 1e-6)
    solving: Tensor = torch.linalg.inv(damped) @ rows
    return solving


def _step(solving: Tensor, rows: Tensor) -> Tensor:
    """Return turn and scale (one complex number, near 0) and move [h, 2], shortened where they are too long."""
    steps = (solving @ rows[:, :, None])[:, :, 0]
    steps = steps * (LONGEST_STEP / steps.abs().amax(1, keepdim=True).clamp_min(LONGEST_STEP))
    return torch.view_as_complex(steps.unflatten(1, (2, 2)).contiguous())


def _moved(turn: Tensor, move: Tensor, step: Tensor, mirrored: Tensor) -> tuple[Tensor, Tensor]:
    """Undo a step of the whole before it is laid into the part."""
    step = torch.where(mirrored[:, None], step.conj().resolve_conj(), step)
    scale, shift = 1 + step[:, 0], step[:, 1]
    return turn / scale, move - turn * shift / scale
