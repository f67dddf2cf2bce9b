"""Prefix x Pixels -> Activations: the frozen part of the network, run once and kept."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from regraft.activations import engines, planner
from regraft.activations.engines import Engine, Taps
from regraft.activations.store import Store, Writer, cache_folder, finite, free_bytes, make_room
from regraft.backbones import Backbone
from regraft.data import DECODER, THREADS, Preprocessing, ahead_of, draw_view, read_picture
from regraft.errors import BadImage
from regraft.utils.progress import Progress, Tick
from regraft.weights import digest_state

__all__ = ["Activations", "Pictures", "Prefix", "cache_folder"]

BATCH = 32  # pictures per call of the frozen part: larger ones were not faster on CPU, and cost memory

OF_THE_DECODER = ("size", "resize", "fit", "interpolation", "file_channels", "value_range")
"""What of a preprocessing decides the pixels; the rest is done inside the network."""

VIEWS_AT_ONCE = 8  # of each picture that is decoded; every view has files of its own open


@dataclass(frozen=True)
class Pictures:
    """Files, their content digests, and how they become pixels and views."""

    paths: Sequence[Path]
    digests: Sequence[str]
    preprocessing: Preprocessing
    augment: tuple[str, ...] = ()
    seed: int = 0

    def only(self, which: Sequence[int]) -> Pictures:
        """Return these pictures only."""
        return replace(
            self, paths=[self.paths[index] for index in which], digests=[self.digests[index] for index in which]
        )

    def view_of(self, pixels: np.ndarray, index: int, view: int) -> np.ndarray:
        """Draw one view ``[s, s, 3]`` of a decoded picture; view 0 is the plain one."""
        return draw_view(pixels, view=view, digest=self.digests[index], augment=self.augment, seed=self.seed)


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
        return self.stores[0].shape

    def rows(self, which: Sequence[int], views: Sequence[int]) -> np.ndarray:
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

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.pictures.preprocessing.size, self.pictures.preprocessing.size, 3)

    def rows(self, which: Sequence[int], views: Sequence[int]) -> np.ndarray:
        return np.stack(list(self._pool.map(self._row, which, views)))

    def drawn(self, views: Mapping[int, Sequence[int]]) -> Iterator[tuple[int, list[np.ndarray] | BadImage]]:
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
            return self._views(index, [view])[0]
        except BadImage as reason:
            raise BadImage(
                f"{self.pictures.paths[index]} could be read before and cannot now: {reason}. "
                "Was it changed during the run?"
            ) from reason

    def _views(self, index: int, views: Sequence[int]) -> list[np.ndarray]:
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
        return finite(self.run(self.pixels.rows(which, views)))


class Prefix:
    """The frozen part of one network over one set of pictures.

    Several cuts are served by one pass: what is needed at the last cut flows through all earlier ones anyway.

    Args:
        backbone: the network; its weights must not change while this object is used.
        pictures: the files with their digests.
        cuts: positions in ``backbone.stages``; 0 means the pixels, ``len(backbone.stages)`` the pooled output ``[c]``.
        trained: how many of the pictures are trained on, about; for the planner.
        views: stored views per training picture.
        epochs: how often the rows at each cut are gone through; for the planner.
        device, engine, keep, dtype, limit_gb: as in the settings.
        root: the folder of caches.
    """

    def __init__(
        self,
        backbone: Backbone,
        pictures: Pictures,
        cuts: Sequence[int],
        *,
        trained: int,
        views: int = 1,
        epochs: Mapping[int, int],
        device: torch.device,
        engine: str = "auto",
        keep: str = "auto",
        dtype: str = "float16",
        limit_gb: float = 20.0,
        root: Path | None = None,
        progress: Progress | None = None,
    ) -> None:
        self.backbone, self.pictures, self.cuts = backbone, pictures, sorted(set(cuts))
        self.device, self.dtype, self.views = device, dtype, views
        self.root, self.limit = root or cache_folder(), int(limit_gb * 1e9)
        self.progress = progress or Progress()
        self._stage_digests = [
            f"{stage.name} {digest_state(stage.module.state_dict())}" for stage in backbone.stages[: self.cuts[-1]]
        ]
        self._engines: dict[tuple[int, ...], Engine] = {}
        self._stores: dict[tuple[int, int], Store] = {}  # by cut and view; what is open stays readable to the end
        self.engine = self._pick_engine(engine)
        self.decisions: dict[int, planner.Decision] = {}  # deciding may export, and an export asks for them
        self.decisions = self._decide(keep, trained, epochs)
        self._stores = {key: store for key, store in self._stores.items() if self.decisions[key[0]].keep}

    # ---- what happens, in order -------------------------------------------------------------------------------------

    def plain(self) -> dict[int, BadImage]:
        """Run view 0 of every picture; returns those that cannot be read, by index, and goes on without them."""
        count = len(self.pictures.paths)
        bad = self._fill(range(count), [0])
        self.pictures = self.pictures.only([index for index in range(count) if index not in bad])
        return bad

    def augmented(self, which: Sequence[int], views: int) -> None:
        """Run views 1 to ``views - 1`` of the training pictures, at the cuts that keep their rows."""
        if any(cut > 0 and decision.keep for cut, decision in self.decisions.items()):
            for first in range(1, views, VIEWS_AT_ONCE):
                self._fill(which, range(first, min(first + VIEWS_AT_ONCE, views)))

    def keeps(self, cut: int) -> bool:
        """Say whether the rows at one cut are on disk, so that they are read without running anything."""
        return cut > 0 and self.decisions[cut].keep

    def at(self, cut: int, views: int = 1) -> Activations:
        """Return the activations at one cut, wherever they come from."""
        pixels = self._pixels()
        if cut == 0:
            return pixels
        if self.keeps(cut):
            return Kept([self._store(cut, view) for view in range(views)], self.pictures.digests)
        return Computed(pixels, lambda batch: self._run([cut], batch)[0], self._shape(cut))

    # ---- the pass ---------------------------------------------------------------------------------------------------

    def _fill(self, which: Sequence[int], views: Sequence[int]) -> dict[int, BadImage]:
        """Compute what is missing of these views; each picture is decoded once for all of them."""
        stores = {
            (cut, view): self._store(cut, view)
            for cut, decision in self.decisions.items()
            for view in views
            if decision.keep and view < self._views_at(cut)
        }
        missing = {key: self._missing(store, which) for key, store in stores.items()}
        todo: dict[int, list[int]] = {} if stores else {index: list(views) for index in which}
        for (_, view), indices in missing.items():
            for index in indices:
                if view not in todo.setdefault(index, []):
                    todo[index].append(view)
        if not todo:
            return {}
        if stores:
            self._make_room(sum(stores[key].row_bytes * len(indices) for key, indices in missing.items()))
        bad: dict[int, BadImage] = {}
        with contextlib.ExitStack() as open_writers:
            writers = {key: open_writers.enter_context(store.writer()) for key, store in stores.items()}
            what = self.backbone.name if any(cut for cut, _ in stores) else "Decoding"
            tick = open_writers.enter_context(
                self.progress.track(f"{what}, augmented views" if any(views) else what, len(todo), "pictures")
            )
            for batch in batched(self._drawn(todo, bad, tick), BATCH):
                self._keep(writers, *zip(*batch, strict=True))
        return bad

    def _missing(self, store: Store, which: Sequence[int]) -> list[int]:
        """Return the pictures without a sound row; all rows are looked at here, so that none is found damaged later."""
        gone = store.missing(self.pictures.digests[index] for index in which)
        return [index for index in which if self.pictures.digests[index] in gone]

    def _drawn(
        self, todo: Mapping[int, Sequence[int]], bad: dict[int, BadImage], tick: Tick
    ) -> Iterator[tuple[int, int, np.ndarray]]:
        """Yield (index, view, pixels), and note the pictures that cannot be read."""
        for index, found in self._pixels().drawn(todo):
            if isinstance(found, BadImage):
                bad[index] = found
            else:
                yield from ((index, view, pixels) for view, pixels in zip(todo[index], found, strict=True))
            tick(1)

    def _pixels(self) -> Pixels:
        return Pixels(self.pictures, self._store(0, 0) if 0 in self.decisions and self.decisions[0].keep else None)

    def _keep(
        self, writers: Mapping[tuple[int, int], Writer], which: Sequence[int], views: Sequence[int], pixels: Any
    ) -> None:
        rows = {0: np.stack(pixels)}
        deep = sorted({cut for cut, _ in writers if cut})
        rows |= dict(zip(deep, self._run(deep, rows[0]), strict=True)) if deep else {}
        digests = [self.pictures.digests[index] for index in which]
        for (cut, view), writer in writers.items():
            new = [at for at, digest in enumerate(digests) if views[at] == view and digest not in writer.store]
            if new:
                writer.add([digests[at] for at in new], rows[cut][new])

    def _run(self, cuts: Sequence[int], pixels: np.ndarray) -> list[np.ndarray]:
        """Pixels [b, s, s, 3] -> one array per cut (above 0, in ascending order)."""
        key = tuple(cuts)
        if key not in self._engines:
            self._engines[key] = self._open_engine(key)
        return self._engines[key](pixels)

    def _open_engine(self, cuts: tuple[int, ...]) -> Engine:
        network = Taps(self.backbone, cuts)
        if self.engine == "torch":
            return engines.on_torch(network, self.device, half=self._compute_type == "float16")
        recipe, folder = self._export_recipe(cuts), self.root / "prefixes"
        new = not engines.export_path(recipe, folder).exists()
        if new:
            self.progress.note(f"Exporting {self.backbone.name} for ONNX Runtime, once.")
        size = self.pictures.preprocessing.size
        engine = engines.on_onnxruntime(network, size=size, recipe=recipe, folder=folder, warn=self.progress.warn)
        if new:
            self._make_room(0)
        return engine

    def _make_room(self, needed: int) -> None:
        """Keep rows and exports of all runs below the limit; an export, once it is loaded, may go like any other."""
        make_room([self.root / "activations", self.root / "prefixes"], needed, self.limit, spare=self._own_folders())

    @property
    def _compute_type(self) -> str:
        """Half precision only where a GPU computes it faster and what is wanted is rounded to it anyway."""
        return self.dtype if self.device.type == "cuda" else "float32"

    # ---- what is kept, and under which name -------------------------------------------------------------------------

    def _store(self, cut: int, view: int) -> Store:
        if (cut, view) not in self._stores:
            self._stores[cut, view] = self._open_store(cut, view, self.engine)
        return self._stores[cut, view]

    def _open_store(self, cut: int, view: int, engine: str) -> Store:
        return Store(
            self.root / "activations",
            self._recipe(cut, view, engine),
            self._shape(cut),
            self.dtype if cut else "uint8",
            warn=self.progress.warn,
        )

    def _own_folders(self) -> list[Path]:
        """Return the stores that this run reads: room for one is not made by deleting another."""
        kept = [cut for cut in self.cuts if cut not in self.decisions or self.decisions[cut].keep]
        return [self._store(cut, view).folder for cut in kept for view in range(self._views_at(cut))]

    def _recipe(self, cut: int, view: int, engine: str) -> dict[str, Any]:
        look = self.pictures.preprocessing.as_dict()
        drawn = (
            {"view": view, "augment": list(self.pictures.augment), "seed": self.pictures.seed} if view else {"view": 0}
        )
        if cut == 0:  # pixels: no network has touched them, so all networks that decode alike share them
            return {
                "what": "pixels",
                "pixels": {name: look[name] for name in OF_THE_DECODER if name in look},
                "decoder": DECODER,
                **drawn,
            }
        return {
            "what": "activations",
            "backbone": self.backbone.name,
            "after": self.backbone.stages[cut - 1].name,
            "pooled": "mean, maximum" if cut == len(self.backbone.stages) else "",
            "weights": hashlib.sha256("".join(self._stage_digests[:cut]).encode()).hexdigest(),
            "pixels": look,
            "decoder": DECODER,
            "engine": engine if self.device.type == "cpu" else f"{engine}/{self.device.type}/{self._compute_type}",
            **drawn,
        }

    def _export_recipe(self, cuts: Sequence[int]) -> dict[str, Any]:
        return {"cuts": list(cuts), **self._recipe(max(cuts), 0, "onnxruntime")}

    def _shape(self, cut: int) -> tuple[int, ...]:
        size = self.pictures.preprocessing.size
        if cut == 0:
            return (size, size, 3)
        if cut == len(self.backbone.stages):
            return (self.backbone.embedding_width,)
        return self._shapes[cut - 1]

    @functools.cached_property
    def _shapes(self) -> list[tuple[int, ...]]:
        return self.backbone.shapes(self.pictures.preprocessing.size)

    def _pick_engine(self, wish: str) -> str:
        """Rows of either engine that are all there are used; else ONNX Runtime where its export is there or pays."""
        deepest = self.cuts[-1]
        if wish != "auto" or self.device.type != "cpu" or deepest == 0:
            return "torch" if wish == "auto" else wish
        pictures = len(self.pictures.paths)
        complete = [engine for engine in ("onnxruntime", "torch") if self._count_kept(deepest, engine) == pictures]
        if complete:
            return complete[0]
        exported = engines.export_path(
            self._export_recipe([cut for cut in self.cuts if cut]), self.root / "prefixes"
        ).exists()
        return engines.choose(wish, self.device, pictures, exported=exported)

    def _count_kept(self, cut: int, engine: str) -> int:
        store = self._open_store(cut, 0, engine)
        return sum(digest in store for digest in self.pictures.digests)

    # ---- keep or compute again --------------------------------------------------------------------------------------

    def _decide(self, wish: str, trained: int, epochs: Mapping[int, int]) -> dict[int, planner.Decision]:
        """Decide for each cut; what is kept at one takes room from the next. Small rows come first: more cuts fit."""
        decisions = {}
        limit, free = self.limit, int(free_bytes(self.root) * 0.9)
        for cut in sorted(self.cuts, key=self._row_bytes):
            views = self._views_at(cut)
            rows, row_bytes = len(self.pictures.paths) + trained * (views - 1), self._row_bytes(cut)
            missing = rows if wish == "never" else self._count_missing(cut, trained)
            there = 0 if wish == "never" else row_bytes * sum(len(self._store(cut, view)) for view in range(views))
            # pooled rows cost next to nothing to read; a few missing ones are computed in the time of measuring
            measured = wish == "auto" and cut < len(self.backbone.stages) and missing > 2 * BATCH
            decisions[cut] = decision = planner.decide(
                wish=wish,
                row_bytes=row_bytes,
                kept=rows - missing,
                pictures=len(self.pictures.paths),
                trained=trained,
                views=views,
                epochs=epochs[cut],
                seconds_per_picture=self._seconds_per_picture(cut) if measured else None,
                room=min(limit - there, free),
            )
            if decision.keep:
                limit, free = limit - there - missing * row_bytes, free - missing * row_bytes
            self.progress.note(f"After {self.backbone.stages[cut - 1].name if cut else 'decoding'}: {decision.reason}.")
        return decisions

    def _views_at(self, cut: int) -> int:
        """Return the views that are stored; those of plain pixels cost next to nothing and are drawn when needed."""
        return self.views if cut else 1

    def _row_bytes(self, cut: int) -> int:
        return int(np.prod(self._shape(cut))) * np.dtype(self.dtype if cut else "uint8").itemsize

    def _count_missing(self, cut: int, trained: int) -> int:
        """Return how many rows are to be computed; of augmented views about: the training pictures are drawn later."""
        plain, *others = (
            sum(digest in self._store(cut, view) for digest in self.pictures.digests)
            for view in range(self._views_at(cut))
        )
        return len(self.pictures.digests) - plain + sum(max(trained - count, 0) for count in others)

    def seconds_per_picture(self) -> float:
        """Return the time that decoding one picture and running the network take here, to the deepest cut if any."""
        return self._seconds_per_picture(self.cuts[-1] or len(self.backbone.stages))

    def _seconds_per_picture(self, cut: int) -> float:
        """Decode and run a few pictures (the first batch warms up) and return the time for one.

        All cuts are run at once, as in the pass itself; what follows the cut in question costs little beside it.
        """
        sample = range(min(BATCH, len(self.pictures.paths)))
        seconds = 0.0
        for _ in range(2):
            start = time.perf_counter()
            drawn = Pixels(self.pictures).drawn({index: [0] for index in sample})
            pixels = [views[0] for _, views in drawn if not isinstance(views, BadImage)]
            if cut and pixels:
                self._run([deep for deep in self.cuts if deep] or [cut], np.stack(pixels))
            seconds = time.perf_counter() - start
        return seconds / max(len(sample), 1)


def batched(items: Iterator[Any], size: int) -> Iterator[list[Any]]:
    """Yield lists of `size` items, the last one shorter."""
    while batch := list(itertools.islice(items, size)):
        yield batch
