"""The frozen part of one network over one set of pictures: run once, kept, read back."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from regraft.activations import choosing, engines, planner
from regraft.activations.choosing import Choice
from regraft.activations.engines import Engine, Runner
from regraft.activations.recipes import export_recipe, of_decoder, stage_digests, weights_key
from regraft.activations.sources import (
    BATCH,
    Activations,
    Computed,
    Kept,
    Pictures,
    Pixels,
    View,
    batched,
    first_views,
)
from regraft.activations.store import FEWER, NOT_KEPT, Store, Writer, free_bytes, make_room, recipe_key
from regraft.backbones import Backbone
from regraft.data import DECODER, Tta
from regraft.errors import BadImage
from regraft.utils.machine import cache_folder, cores, processor
from regraft.utils.progress import Progress, Tick
from regraft.utils.version import package_version

VIEWS_AT_ONCE = 8  # of each picture that is decoded; every view has files of its own open


@dataclass(frozen=True)
class Demand:
    """What is needed of the frozen part.

    A cut is a position in ``backbone.stages``; 0 means the pixels, ``len(backbone.stages)`` the pooled output ``[c]``.
    """

    epochs: Mapping[int, int]  # how often the rows at each cut are gone through
    trained: int  # pictures that are trained on, about
    views: int = 1  # stored views of each of them
    tested: int = 0  # pictures that are predicted from the views of test-time augmentation, at the end
    tested_at: frozenset[int] = frozenset()  # the cuts from which they are


@dataclass(frozen=True)
class Means:
    """What computes the rows, and where they are kept; as in the settings."""

    device: torch.device
    engine: str = "auto"
    keep: str = "auto"
    dtype: str = "float16"
    limit_gb: float = 20.0
    root: Path | None = None  # the folder of caches
    instead: str | None = None  # what helps where rows do not fit; of a training, fewer of them
    precision: str = "auto"


class Prefix:
    """The frozen part of one network over one set of pictures.

    Several cuts are served by one pass: what is needed at the last cut flows through all earlier ones anyway.

    Args:
        backbone: the network; its weights must not change while this object is used.
        pictures: the files with their digests.
        demand: which cuts are needed, and how often.
        means: what computes and keeps them.
    """

    def __init__(
        self,
        backbone: Backbone,
        pictures: Pictures,
        demand: Demand,
        means: Means,
        progress: Progress | None = None,
    ) -> None:
        self.backbone, self.pictures, self.demand, self.means = backbone, pictures, demand, means
        self.cuts, self.device, self.dtype = sorted(demand.epochs), means.device, means.dtype
        self._place = engines.placed(means.engine, means.device)  # of the frozen part
        self.root, self.limit = means.root or cache_folder(), int(means.limit_gb * 1e9)
        self.progress = progress or Progress()
        self._stage_digests = stage_digests(backbone, self.cuts[-1])
        self._engines: dict[tuple[Runner, tuple[int, ...]], Engine] = {}
        self._stores: dict[tuple[int, View], Store] = {}  # by cut and view; what is open stays readable to the end
        self._keeps_tta: set[int] = set()  # cuts
        # choosing and deciding may export, and an export asks for both
        self.choice: Choice | None = None  # and so it stays where nothing is frozen
        self.decisions: dict[int, planner.Decision] = {}
        self.choice = self._choose() if self._deep else None
        self.decisions = self._decide()
        self._stores = {key: store for key, store in self._stores.items() if self.decisions[key[0]].keep}

    # ---- what happens, in order -------------------------------------------------------------------------------------

    def plain(self) -> dict[int, BadImage]:
        """Run view 0 of every picture; returns those that cannot be read, by index, and goes on without them."""
        count = len(self.pictures.paths)
        bad = self._fill(range(count), [View(0)])
        self.pictures = self.pictures.only([index for index in range(count) if index not in bad])
        return bad

    def augmented(self, which: Sequence[int], views: int) -> None:
        """Run views 1 to ``views - 1`` of the training pictures, at the cuts that keep their rows."""
        if any(cut > 0 and decision.keep for cut, decision in self.decisions.items()):
            self._fill_all(which, first_views(views))

    def tested(self, which: Sequence[int]) -> None:
        """Run the views of test-time augmentation of the pictures that are measured, where their rows are kept."""
        if self._keeps_tta:
            self._fill_all(which, first_views(self.pictures.tta.views, tta=True))

    def _fill_all(self, which: Sequence[int], views: Sequence[View]) -> None:
        """Run all views but the plain one."""
        for first in range(1, len(views), VIEWS_AT_ONCE):
            self._fill(which, views[first : first + VIEWS_AT_ONCE])

    def keeps(self, cut: int, *, tta: bool = False) -> bool:
        """Say whether the rows at one cut are on disk, so that they are read without running anything."""
        return cut > 0 and self.decisions[cut].keep and (not tta or cut in self._keeps_tta)

    def at(self, cut: int, views: int = 1, *, tta: bool = False) -> Activations:
        """Return the activations at one cut, wherever they come from; of drawn views, or those of `Pictures.tta`."""
        pixels = self._pixels(tta)
        if cut == 0:
            return pixels
        if self.keeps(cut, tta=tta and views > 1):
            stores = [self._store(cut, view) for view in first_views(views, tta=tta)]
            return Kept(stores, self.pictures.digests)
        return Computed(pixels, lambda batch: self._run([cut], batch)[0], self._shape(cut))

    def seen_as(self, tta: Tta, cut: int) -> Activations:
        """Return the activations at one cut of other views, which are computed when they are asked for."""
        pixels = replace(self._pixels(tta=True), pictures=replace(self.pictures, tta=tta))
        if cut == 0:
            return pixels
        position = self._deep.index(cut)  # all cuts at once, as the engine that is open runs them
        return Computed(pixels, lambda batch: self._run(self._deep, batch)[position], self._shape(cut))

    # ---- the pass ---------------------------------------------------------------------------------------------------

    def _fill(self, which: Sequence[int], views: Sequence[View]) -> dict[int, BadImage]:
        """Compute what is missing of these views; each picture is decoded once for all of them."""
        stores = {
            (cut, view): self._store(cut, view)
            for cut, decision in self.decisions.items()
            for view in views
            if decision.keep and view in self._views_at(cut)
        }
        missing = {key: self._missing(store, which) for key, store in stores.items()}
        todo: dict[int, list[View]] = {} if stores else {index: list(views) for index in which}
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
            tick = open_writers.enter_context(self.progress.track(f"{what}{_which(views)}", len(todo), "pictures"))
            for batch in batched(self._drawn(todo, bad, tick), BATCH):
                self._keep(writers, *zip(*batch, strict=True))
        return bad

    def _missing(self, store: Store, which: Sequence[int]) -> list[int]:
        """Return the pictures without a sound row; all rows are looked at here, so that none is found damaged later."""
        gone = store.missing(self.pictures.digests[index] for index in which)
        return [index for index in which if self.pictures.digests[index] in gone]

    def _drawn(
        self, todo: Mapping[int, Sequence[View]], bad: dict[int, BadImage], tick: Tick
    ) -> Iterator[tuple[int, View, np.ndarray]]:
        """Yield (index, view, pixels), and note the pictures that cannot be read."""
        for index, found in self._pixels().drawn(todo):
            if isinstance(found, BadImage):
                bad[index] = found
            else:
                yield from ((index, view, pixels) for view, pixels in zip(todo[index], found, strict=True))
            tick(1)

    def _pixels(self, tta: bool = False) -> Pixels:
        kept = 0 in self.decisions and self.decisions[0].keep
        return Pixels(self.pictures, self._store(0, View(0)) if kept else None, tta)

    def _keep(
        self, writers: Mapping[tuple[int, View], Writer], which: Sequence[int], views: Sequence[View], pixels: Any
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
        return self._engine(self._runner, tuple(cuts))(pixels)

    def _engine(self, runner: Runner, cuts: tuple[int, ...]) -> Engine:
        if (runner, cuts) not in self._engines:
            self._engines[runner, cuts] = self._open_engine(runner, cuts)
        return self._engines[runner, cuts]

    def _open_engine(self, runner: Runner, cuts: tuple[int, ...]) -> Engine:
        job = engines.Job(
            engines.Taps(self.backbone, cuts),
            self.pictures.preprocessing.size,
            lambda: self._export_recipe(cuts),
            self.root / "prefixes",
            self.backbone.name,
            self._place,
            runner.precision,
            progress=self.progress,
            prepared=lambda: self._make_room(0),
        )
        with torch.inference_mode(False):  # moved while predicting, the stages could not be trained afterwards
            return engines.open_engine(runner.engine, job)

    def _make_room(self, needed: int) -> None:
        """Keep rows and exports of all runs below the limit; an export, once it is loaded, may go like any other."""
        folders, instead = [self.root / "activations", self.root / "prefixes"], self.means.instead or FEWER
        make_room(folders, needed, self.limit, spare=self._own_folders(), instead=instead)

    # ---- what runs it -----------------------------------------------------------------------------------------------

    def _choose(self) -> Choice:
        """Take what is asked for, or what is fastest; the user is told where rows are rounded, or could have been."""
        sample = self._sample()
        trial = choosing.Trial(
            len(self.pictures.paths),
            functools.partial(self._count_kept, self.cuts[-1]),
            lambda engine: bool(engines.module(engine).ready(self._export_recipe(self._deep), self.root / "prefixes")),
            lambda runner: self._rows_of(sample, runner),
            lambda: self._record_of(sample),
        )
        choice = choosing.pick(Runner(self.means.engine, self._precision), self._place, trial)
        say = self.progress.detail if choice.agreement is None else self.progress.note
        say(f"{self.backbone.name}: {choice}")
        self._engines = {key: engine for key, engine in self._engines.items() if key[0] == choice.runner}
        return choice

    @property
    def _runner(self) -> Runner:
        return self.choice.runner if self.choice else Runner("torch")

    @property
    def _precision(self) -> str:
        """What is asked for; ``auto`` rounds only where kept rows are rounded anyway, and on a GPU as they are."""
        if self.means.precision != "auto" or (self._place.type == "cpu" and self.dtype == "float16"):
            return self.means.precision
        return self.dtype if self._place.type == "cuda" else "float32"

    @property
    def _deep(self) -> tuple[int, ...]:
        return tuple(cut for cut in self.cuts if cut)

    def _sample(self) -> list[int]:
        """Return a few pictures, drawn by their contents: the first ones may all be of one class."""
        return sorted(range(len(self.pictures.paths)), key=self.pictures.digests.__getitem__)[: choosing.SAMPLE]

    def _rows_of(self, sample: Sequence[int], runner: Runner) -> list[np.ndarray]:
        pixels = self._plain_pixels(sample)
        return self._engine(runner, self._deep)(np.stack(pixels)) if pixels else []

    def _plain_pixels(self, which: Iterable[int]) -> list[np.ndarray]:
        """Decode a few pictures, those that can be read, without keeping any."""
        drawn = Pixels(self.pictures).drawn({index: [View(0)] for index in which})
        return [views[0] for _, views in drawn if not isinstance(views, BadImage)]

    def _record_of(self, sample: Sequence[int]) -> Path:
        """Return where what is measured is kept: it holds for these pictures, this machine and these engines."""
        recipe = {
            **self._export_recipe(self._deep),
            "pictures": [self.pictures.digests[index] for index in sample],
            "pixels": self.pictures.preprocessing.as_dict(),
            "machine": [processor(), cores()],
            "engines": {name: package_version(engines.module(name).PACKAGE) for name in engines.names()},
        }
        return self.root / "prefixes" / f"{recipe_key(recipe)}.measured"

    # ---- what is kept, and under which name -------------------------------------------------------------------------

    def _store(self, cut: int, view: View) -> Store:
        if (cut, view) not in self._stores:
            self._stores[cut, view] = self._open_store(cut, view, self._runner)
        return self._stores[cut, view]

    def _open_store(self, cut: int, view: View, runner: Runner) -> Store:
        return Store(
            self.root / "activations",
            self._recipe(cut, view, runner),
            self._shape(cut),
            self.dtype if cut else "uint8",
            instead=self.means.instead or NOT_KEPT,
            warn=self.progress.warn,
        )

    def _own_folders(self) -> list[Path]:
        """Return the stores that this run reads: room for one is not made by deleting another."""
        named = self.cuts if self.choice else [cut for cut in self.cuts if not cut]  # those of rows name the engine
        kept = [cut for cut in named if cut not in self.decisions or self.decisions[cut].keep]
        return [self._store(cut, view).folder for cut in kept for view in self._views_at(cut)]

    def _recipe(self, cut: int, view: View, runner: Runner) -> dict[str, Any]:
        drawn = self.pictures.recipe_of(view)
        if cut == 0:  # pixels: no network has touched them, so all networks that decode alike share them
            return {
                "what": "pixels",
                "pixels": of_decoder(self.pictures.preprocessing),
                "decoder": DECODER,
                **drawn,
            }
        return {
            "what": "activations",
            "backbone": self.backbone.name,
            "after": self.backbone.stages[cut - 1].name,
            "pooled": ", ".join(self.backbone.pools) if cut == len(self.backbone.stages) else "",
            "weights": weights_key(self._stage_digests[:cut]),
            "pixels": self.pictures.preprocessing.as_dict(),
            "decoder": DECODER,
            "engine": self._computed_by(runner),
            **drawn,
        }

    def _shape(self, cut: int) -> tuple[int, ...]:
        size = self.pictures.preprocessing.size
        if cut == 0:
            return (size, size, 3)
        if cut == len(self.backbone.stages) and self.backbone.pools:
            return (self.backbone.embedding_width,)
        return self._shapes[cut - 1]

    @functools.cached_property
    def _shapes(self) -> list[tuple[int, ...]]:
        return self.backbone.shapes(self.pictures.preprocessing.size)

    def _computed_by(self, runner: Runner) -> str:
        """Return what tells rows of one engine and precision from those of another."""
        if self._place.type == "cpu":
            return runner.engine if runner.precision == "float32" else "/".join(runner)
        return f"{runner.engine}/{self._place.type}/{runner.precision}"

    def _export_recipe(self, cuts: Sequence[int]) -> dict[str, Any]:
        return export_recipe(self.backbone, cuts, self._stage_digests)

    def _count_kept(self, cut: int, runner: Runner) -> int:
        store = self._open_store(cut, View(0), runner)
        return sum(digest in store for digest in self.pictures.digests)

    # ---- keep or compute again --------------------------------------------------------------------------------------

    def _decide(self) -> dict[int, planner.Decision]:
        """Decide for each cut; what is kept at one takes room from the next. Small rows come first: more cuts fit."""
        decisions = {}
        limit, free = self.limit, int(free_bytes(self.root) * 0.9)
        for cut in sorted(self.cuts, key=self._row_bytes):
            costs = self._costs(cut)
            there = 0 if self.means.keep == "never" else self._bytes_there(cut)
            decisions[cut] = decision = planner.decide(self.means.keep, costs, min(limit - there, free))
            if decision.keep:
                limit, free = limit - there - costs.missing_bytes, free - costs.missing_bytes
                more = self._decide_tta(cut, min(limit, free))
                limit, free = limit - more, free - more
            say = self.progress.detail if decision.keep else self.progress.note  # what makes a run slow is always said
            say(f"After {self.backbone.stages[cut - 1].name if cut else 'decoding'}: {decision.reason}.")
        return decisions

    def _decide_tta(self, cut: int, room: int) -> int:
        """Keep the views of test-time augmentation too where they fit; returns the bytes that they take of the room."""
        views = self._tta_at(cut)
        missing = sum(max(self.demand.tested - len(self._store(cut, view)), 0) for view in views)
        needed = missing * self._row_bytes(cut)
        if not views or (needed > room and self.means.keep != "always"):
            return 0
        self._keeps_tta.add(cut)
        return needed

    def _costs(self, cut: int) -> planner.Costs:
        views, trained, pictures = self._views_at(cut), self.demand.trained, len(self.pictures.paths)
        rows = pictures + trained * (len(views) - 1)
        missing = rows if self.means.keep == "never" else self._count_missing(cut, trained)
        # pooled rows cost next to nothing to read; a few missing ones are computed in the time of measuring
        measured = self.means.keep == "auto" and cut < len(self.backbone.stages) and missing > 2 * BATCH
        return planner.Costs(
            row_bytes=self._row_bytes(cut),
            rows=rows,
            missing=missing,
            pictures=pictures,
            passes=self.demand.epochs[cut] * trained,
            seconds_per_picture=self._seconds_per_picture(cut) if measured else None,
        )

    def _bytes_there(self, cut: int) -> int:
        return self._row_bytes(cut) * sum(len(self._store(cut, view)) for view in self._views_at(cut))

    def _views_at(self, cut: int) -> list[View]:
        """Return the views that are stored; those of plain pixels cost next to nothing and are drawn when needed."""
        return [*first_views(self.demand.views if cut else 1), *(self._tta_at(cut) if cut in self._keeps_tta else ())]

    def _tta_at(self, cut: int) -> list[View]:
        """Return the views of test-time augmentation that are needed at a cut, without the plain one."""
        return first_views(self.pictures.tta.views, tta=True)[1:] if cut and cut in self.demand.tested_at else []

    def _row_bytes(self, cut: int) -> int:
        return int(np.prod(self._shape(cut))) * np.dtype(self.dtype if cut else "uint8").itemsize

    def _count_missing(self, cut: int, trained: int) -> int:
        """Return how many rows are to be computed; of augmented views about: the training pictures are drawn later."""
        plain, *others = (
            sum(digest in self._store(cut, view) for digest in self.pictures.digests) for view in self._views_at(cut)
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
            pixels = self._plain_pixels(sample)
            if cut and pixels:
                self._run(self._deep or [cut], np.stack(pixels))
            seconds = time.perf_counter() - start
        return seconds / max(len(sample), 1)


def _which(views: Sequence[View]) -> str:
    """Say which views are computed, where they are not the plain ones."""
    if not any(view.number for view in views):
        return ""
    return ", views of test pictures" if views[-1].tta else ", augmented views"
