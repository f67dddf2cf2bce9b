"""Where activations come from: files, decoded pixels, rows kept on disk, or the network itself."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from regraft.activations.store import Store, finite
from regraft.data import THREADS, Preprocessing, Tta, ahead_of, draw_view, read_picture
from regraft.errors import BadImage

BATCH = 32  # pictures per call of the frozen part: larger ones were not faster on CPU, and cost memory


class View(NamedTuple):
    """One view of every picture: 0 is plain, the others are drawn for training, or those of test-time augmentation."""

    number: int
    tta: bool = False


def first_views(count: int, *, tta: bool = False) -> list[View]:
    """Return so many views, the plain one first, which training and test-time augmentation share."""
    return [View(0), *(View(number, tta) for number in range(1, count))]


@dataclass(frozen=True)
class Pictures:
    """Files, their content digests, and how they become pixels and views."""

    paths: Sequence[Path]
    digests: Sequence[str]
    preprocessing: Preprocessing
    augment: tuple[str, ...] = ()
    seed: int = 0
    tta: Tta = Tta()

    def only(self, which: Sequence[int]) -> Pictures:
        """Return these pictures only."""
        return replace(
            self, paths=[self.paths[index] for index in which], digests=[self.digests[index] for index in which]
        )

    def view_of(self, pixels: np.ndarray, index: int, view: View) -> np.ndarray:
        """Draw one view ``[s, s, 3]`` of a decoded picture."""
        if view.tta:
            return self.tta.view(pixels, view.number)
        return draw_view(pixels, view=view.number, digest=self.digests[index], augment=self.augment, seed=self.seed)

    def recipe_of(self, view: View) -> dict[str, Any]:
        """Return what the pixels of a view depend on, beside the picture."""
        if view.tta:
            return self.tta.recipe(view.number)
        return {"view": view.number, **({"augment": list(self.augment), "seed": self.seed} if view.number else {})}


class Activations(Protocol):
    """What the frozen part makes of every picture and view, at one cut."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one row."""
        ...

    def rows(self, which: Sequence[int], views: Sequence[int]) -> np.ndarray:
        """Return rows ``[len(which), *shape]`` of those pictures, each in the view beside it."""
        ...


@dataclass
class Kept:
    """Rows read back from disk."""

    stores: list[Store]  # one per view
    digests: Sequence[str]

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one row."""
        return self.stores[0].shape

    def rows(self, which: Sequence[int], views: Sequence[int]) -> np.ndarray:
        """Read rows of those pictures, each in the view beside it."""
        out = np.empty((len(which), *self.shape), self.stores[0].dtype)
        chosen = np.asarray(views)
        for view in sorted(set(views)):
            here = np.flatnonzero(chosen == view)
            out[here] = self.stores[view].rows([self.digests[which[position]] for position in here.tolist()])
        return out


@dataclass
class Pixels:
    """Decoded pixels ``[s, s, 3]``, from disk or from the files, any number of views drawn."""

    pictures: Pictures
    store: Store | None = None
    tta: bool = False  # views beyond the plain one are those of test-time augmentation

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of a picture as the network sees it."""
        return (self.pictures.preprocessing.size, self.pictures.preprocessing.size, 3)

    def rows(self, which: Sequence[int], views: Sequence[int]) -> np.ndarray:
        """Decode those pictures, each in the view beside it."""
        return np.stack(list(self._pool.map(self._row, which, views)))

    def drawn(self, views: Mapping[int, Sequence[View]]) -> Iterator[tuple[int, list[np.ndarray] | BadImage]]:
        """Yield (index, those views of the picture, or what is wrong), drawn a few ahead of the consumer."""
        indices = list(views)
        most = max(map(len, views.values()), default=1)
        for position, found in ahead_of(lambda index: self._views(index, views[index]), indices, ahead=1 + 64 // most):
            yield indices[position], found

    @functools.cached_property
    def _pool(self) -> ThreadPoolExecutor:  # its threads end with this object
        return ThreadPoolExecutor(THREADS, thread_name_prefix="pixels")

    def _row(self, index: int, view: int) -> np.ndarray:
        try:
            return self._views(index, [View(view, self.tta)])[0]
        except BadImage as reason:
            raise BadImage(
                f"{self.pictures.paths[index]} could be read before and cannot now: {reason}. "
                "Was it changed during the run?"
            ) from reason

    def _views(self, index: int, views: Sequence[View]) -> list[np.ndarray]:
        digest = self.pictures.digests[index]
        if self.store is not None and digest in self.store:
            plain = self.store.rows([digest])[0]
        else:
            plain = read_picture(self.pictures.paths[index], self.pictures.preprocessing, digest)
        return [self.pictures.view_of(plain, index, view) for view in views]


@dataclass
class Computed:
    """Rows computed from pixels each time they are asked for."""

    pixels: Pixels
    run: Callable[[np.ndarray], np.ndarray]  # uint8 [b, s, s, 3] -> [b, *shape]
    shape: tuple[int, ...]

    def rows(self, which: Sequence[int], views: Sequence[int]) -> np.ndarray:
        """Run the network on those pictures, each in the view beside it."""
        return finite(self.run(self.pixels.rows(which, views)))


def batched(items: Iterator[Any], size: int) -> Iterator[list[Any]]:
    """Yield lists of `size` items, the last one shorter."""
    while batch := list(itertools.islice(items, size)):
        yield batch
