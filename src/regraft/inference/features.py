"""Network x pictures -> features: what one stage makes of each picture, computed once, kept, read back in chunks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from regraft.activations import BATCH, batched, cache_folder, engines
from regraft.activations.devices import pick_device
from regraft.activations.store import Store, make_room
from regraft.backbones import Backbone
from regraft.config import Config
from regraft.data import DECODER, Pictures, adjusted, gathered, read_digests, read_pixels
from regraft.errors import BadImage, ConfigError, NoImages
from regraft.inference import bundle
from regraft.inference.classifier import Classifier
from regraft.inference.predict import Model, named
from regraft.inference.results import Features
from regraft.utils import arrays
from regraft.utils.progress import Progress
from regraft.weights.loading import filled
from regraft.weights.state import digest_state

CHUNK_BYTES = 16 << 20  # read back and written at once: what memory a file of any size takes

SMALLER = "leave out --no-pool, or take a later --layer or a smaller --img-size"
"""What helps where rows do not fit."""


def features(
    model: Model,
    pictures: Pictures,
    *,
    layer: str | None = None,
    pool: bool = True,
    weights: str | None = None,
    img_size: int | None = None,
    channels: str | None = None,
    range: str | None = None,
    max_megapixels: int | None = None,
    device: str = "auto",
    engine: str = "auto",
    cache_limit: float = Config.cache_limit,
    progress: Progress | None = None,
) -> Features:
    """Return what a network makes of pictures: float32 ``[n, c]``, one row per picture, in their order.

    `Features.array` has the numbers, and NumPy and scikit-learn take the value itself for them.

    Rows are kept on disk: pictures that this network has seen before are only read back.

    Args:
        model: as in `regraft.predict`.
        pictures: as in `regraft.predict`.
        layer: the stage whose output is wanted; the last one by default.
        pool: take the mean over height and width, as Keras' ``pooling="avg"``; without it the rows are whole maps
            ``[n, c, h, w]``, as with ``include_top=False``.
        weights: where the tensors of a network given by its name come from.
        img_size: side in pixels of the square that the network sees. Default: what the weights or the model expect.
        channels, range, max_megapixels: as in training; by default those of the model's, and of a network given by its
            name a range that is found from these pictures.
        device, engine, cache_limit: as in the settings.
        progress: says what is going on; silent by default.

    Raises:
        BadImage: a picture that cannot be read: without its row all later ones would belong to the wrong picture.
        UnknownName: there is no such network or stage.
        CacheFull: the rows do not fit under the limit.
    """
    config = Config(
        img_size=img_size,
        channels=channels,
        range=range,
        max_megapixels=max_megapixels,
        device=device,
        engine=engine,
        cache_limit=cache_limit,
    )
    kept = _compute(opened(model, weights), pictures, layer, pool, config, progress or Progress())
    for name, reason in kept.skipped.items():
        more = f" ({len(kept.skipped) - 1} more cannot)" if len(kept.skipped) > 1 else ""
        raise BadImage(f"{name} cannot be read: {reason}{more}. Leave it out of the list.")
    return Features(kept.store.rows(kept.digests), kept.names)


@dataclass(frozen=True)
class Written:
    """The file that was written, and what is in it."""

    file: Path
    shape: tuple[int, ...]  # of all rows
    skipped: dict[str, str]  # pictures that could not be read, and why

    def as_dict(self) -> dict[str, Any]:
        """Return what ``--json`` prints."""
        skipped = [{"path": path, "reason": reason} for path, reason in self.skipped.items()]
        return {"file": str(self.file), "n": self.shape[0], "shape": list(self.shape), "skipped": skipped}


def extract(
    model: Model,
    pictures: Pictures,
    output: Path,
    *,
    layer: str | None = None,
    pool: bool = True,
    progress: Progress | None = None,
    **settings: Any,
) -> Written:
    """Write the features of pictures to an .npz or .parquet file, in constant memory.

    All arguments but `output` are as in `features`, `settings` are weights and those from img_size to cache_limit. A
    picture that cannot be read is left out and named. A stopped run goes on where it was.

    Raises:
        ConfigError: the file has another ending.
        NoImages: no picture can be read.
    """
    arrays.writer_of(output)
    progress = progress or Progress()
    config = Config(**settings)
    kept = _compute(opened(model, config.weights), pictures, layer, pool, config, progress)
    skipped = {_text(name): reason for name, reason in kept.skipped.items()}
    for name, reason in skipped.items():
        progress.warn(f"{name} is left out: {reason}.")
    if not kept.names:
        name, reason = next(iter(skipped.items()))
        raise NoImages(f"None of the {len(skipped)} pictures can be read; the first: {name}: {reason}.")
    arrays.write(output, [_text(name) for name in kept.names], kept.chunks(), kept.store.shape)
    return Written(output, (len(kept.names), *kept.store.shape), skipped)


def _text(name: str) -> str:
    """Return a path that every file format can hold: Unix allows names that are no text."""
    return name.encode("utf-8", "backslashreplace").decode()


# ---- what happens, in order -----------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Kept:
    """The pictures that could be read, in order, where their rows are, and why others could not be read."""

    store: Store
    names: list[str]
    digests: list[str]
    skipped: dict[str, str]

    def chunks(self) -> Iterator[np.ndarray]:
        """Read the rows back, a few MB at once."""
        size = max(1, CHUNK_BYTES // self.store.row_bytes)
        for start in range(0, len(self.digests), size):
            yield self.store.rows(self.digests[start : start + size])


def _compute(
    model: Classifier | Backbone, pictures: Pictures, layer: str | None, pool: bool, config: Config, progress: Progress
) -> Kept:
    """Run the network over the pictures whose rows are not kept yet; pictures of equal content have one row."""
    with gathered(pictures, progress) as found:
        paths = [picture.path for picture in found]
        backbone, trained = _sized(model, config.img_size)
        shown = backbone.preprocessing.showing(**config.of_files)
        preprocessing = adjusted(shown, paths, trained=trained, progress=progress)
        network = Network(replace(backbone, preprocessing=preprocessing), layer, pool)
        device = pick_device(config.device)
        extractor = Extractor(network, device, engines.choose(config.engine, device, len(paths)), progress)
        store, digests = extractor.store(), read_digests(paths)
        answers = _filled(extractor, store, dict(zip(digests, paths, strict=True)), config)
    kept = Kept(store, [], [], {})
    for picture, digest in zip(found, digests, strict=True):
        answer = digest if isinstance(digest, BadImage) else answers.get(digest, digest)
        if isinstance(answer, BadImage):
            kept.skipped[picture.name] = str(answer)
        else:
            kept.names.append(picture.name)
            kept.digests.append(answer)
    return kept


def _filled(
    extractor: Extractor, store: Store, one_each: Mapping[str | BadImage, Path], config: Config
) -> dict[str, BadImage]:
    """Compute the rows that are not kept yet; returns the pictures that cannot be decoded, by digest."""
    gone = store.missing(digest for digest in one_each if isinstance(digest, str))
    missing = {digest: path for digest, path in one_each.items() if isinstance(digest, str) and digest in gone}
    needed, limit = len(missing) * store.row_bytes, int(config.cache_limit * 1e9)
    if not missing:
        return {}
    make_room([store.folder.parent], needed, limit, spare=[store.folder], instead=SMALLER)
    return extractor.fill(store, missing)


def opened(model: Model, weights: str | None) -> Classifier | Backbone:
    """Return a model, or a published network, which has no head that is asked.

    Raises:
        UnknownName, BundleError: neither a network's name nor a model's folder.
        ConfigError: `weights` beside a model that brings its own; or what is no model.
    """
    if isinstance(model, Classifier):
        found: Classifier | Backbone = model
    else:
        found = bundle.load_or(named(model), lambda name: filled(name, weights)[0])
    if isinstance(found, Classifier) and weights is not None:
        raise ConfigError(f"--weights {weights}: this model brings its own. Leave it out, or name a network.")
    return found


def _sized(found: Classifier | Backbone, img_size: int | None) -> tuple[Backbone, bool]:
    """Return a filled backbone, and whether it was trained here.

    One that is given by its name sees pictures as a training by default would.
    """
    if isinstance(found, Backbone):
        return found.sized(img_size, Config.fit), False
    own = found.backbone
    return own.sized(img_size, own.preprocessing.fit) if img_size else own, found.spec is not None


# ---- the network, and what runs it ----------------------------------------------------------------------------------


class Network(nn.Module):
    """The stages up to one of them, and the mean over their places where that is wanted."""

    def __init__(self, backbone: Backbone, layer: str | None = None, pool: bool = True) -> None:
        super().__init__()
        cut = len(backbone.stages) if layer is None else backbone.cut_above(layer)
        self.backbone, self.layer, self.pool = backbone, backbone.stages[cut - 1].name, pool
        maps = backbone.shapes(backbone.preprocessing.size)[cut - 1]
        self.shape = maps[:1] if pool else maps
        self.body = nn.Sequential(backbone.prefix(0), *(stage.module for stage in backbone.stages[:cut]))
        self.eval()

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """uint8 [b, s, s, 3] -> [b, c] or [b, c, h, w]; in a list, as the engines expect."""
        maps = self.body(pixels)  # [b, c, h, w]
        return [maps.mean((2, 3)) if self.pool else maps]


@dataclass(frozen=True, eq=False)
class Extractor:
    """A network on an engine, whose rows are kept."""

    network: Network
    device: torch.device
    engine: str
    progress: Progress

    @cached_property
    def recipe(self) -> dict[str, Any]:
        """Everything that a row depends on, beside the picture."""
        return {
            "what": "features",
            "backbone": self.network.backbone.name,
            "after": self.network.layer,
            "pooled": "mean" if self.network.pool else "",
            "weights": digest_state(self.network.body.state_dict()),
            "pixels": self.network.backbone.preprocessing.as_dict(),
            "decoder": DECODER,
            "engine": self.engine if self.device.type == "cpu" else f"{self.engine}/{self.device.type}",
        }

    def store(self) -> Store:
        """Open the rows that are there already."""
        root, warn = cache_folder() / "activations", self.progress.warn
        return Store(root, self.recipe, self.network.shape, "float32", instead=SMALLER, warn=warn)

    def fill(self, store: Store, missing: Mapping[str, Path]) -> dict[str, BadImage]:
        """Add the rows of pictures, by digest; returns those that cannot be decoded, and why."""
        digests, bad = list(missing), dict[str, BadImage]()
        pictures = read_pixels(list(missing.values()), self.network.backbone.preprocessing, digests=digests)
        tracked = self.progress.track(self.network.backbone.name, len(missing), "pictures")
        with store.writer() as writer, tracked as tick:
            for batch in batched(pictures, BATCH):
                good = {digests[index]: pixels for index, pixels in batch if not isinstance(pixels, BadImage)}
                bad |= {digests[index]: pixels for index, pixels in batch if isinstance(pixels, BadImage)}
                if good:
                    writer.add(list(good), self.run(np.stack(list(good.values())))[0])
                tick(len(batch))
        return bad

    @cached_property
    def run(self) -> engines.Engine:
        """The engine, started when the first picture needs it."""
        size, folder = self.network.backbone.preprocessing.size, cache_folder() / "prefixes"
        name = self.network.backbone.name
        job = engines.Job(self.network, size, lambda: self.recipe, folder, name, self.device, progress=self.progress)
        return engines.open_engine(self.engine, job)
