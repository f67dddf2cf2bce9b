"""Network x pictures -> features: what one stage makes of each picture, computed once, kept, read back in chunks."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from regraft.activations import sources
from regraft.activations.devices import pick_device
from regraft.activations.prefix import Demand, Means, Prefix
from regraft.activations.sources import Activations
from regraft.backbones import Backbone
from regraft.config import Config, with_settings
from regraft.data import Pictures, adjusted, gathered, read_digests
from regraft.errors import BadImage, ConfigError, NoImages
from regraft.inference import bundle
from regraft.inference.classifier import Classifier
from regraft.inference.predict import Model, named, refuse_exported
from regraft.inference.results import Features
from regraft.utils import arrays
from regraft.utils.files import named_path
from regraft.utils.progress import Listener, Progress, listener
from regraft.weights.loading import filled

CHUNK_BYTES = 16 << 20  # read back and written at once: what memory a file of any size takes

SMALLER = "leave out --no-pool, or take a later --layer or a smaller --img-size"
"""What helps where rows do not fit."""


@with_settings()
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
    precision: str = "auto",
    cache_limit: float = Config.cache_limit,
    progress: Listener = None,
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
        device, engine, precision, cache_limit: as in the settings; ``auto`` is float32 here, on any device but a GPU.
        progress: True shows bars and sentences, False nothing; by default there are warnings alone, `RegraftWarning`.

    Raises:
        BadImage: a picture of a list that cannot be read: without its row all later ones would belong to the wrong
            picture. Of a folder or glob it is left out, with a warning; `Features.paths` says whose the rows are.
        UnknownName: there is no such network or stage.
        CacheFull: the rows do not fit under the limit.
    """
    progress = listener(progress)
    config = Config(
        img_size=img_size,
        channels=channels,
        range=range,
        max_megapixels=max_megapixels,
        device=device,
        engine=engine,
        precision=precision,
        cache_limit=cache_limit,
    )
    kept = _compute(opened(model, weights), pictures, layer, pool, config, progress)
    found_below = isinstance(pictures, str | os.PathLike) and not named_path(pictures).is_file()  # a folder, a glob
    for name, reason in kept.skipped.items():
        if found_below and kept.names:
            progress.warn(f"{name} is left out: {reason}.")
            continue
        more = f" ({len(kept.skipped) - 1} more cannot)" if len(kept.skipped) > 1 else ""
        raise BadImage(f"{name} cannot be read: {reason}{more}. Leave it out of the list.")
    return Features(kept.read(kept.which), kept.names)


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
    progress: Listener = None,
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
    progress = listener(progress)
    config = Config(**settings)
    kept = _compute(opened(model, config.weights), pictures, layer, pool, config, progress)
    skipped = {_text(name): reason for name, reason in kept.skipped.items()}
    for name, reason in skipped.items():
        progress.warn(f"{name} is left out: {reason}.")
    if not kept.names:
        name, reason = next(iter(skipped.items()))
        raise NoImages(f"None of the {len(skipped)} pictures can be read; the first: {name}: {reason}.")
    arrays.write(output, [_text(name) for name in kept.names], kept.chunks(), kept.rows.shape)
    return Written(output, (len(kept.names), *kept.rows.shape), skipped)


def _text(name: str) -> str:
    """Return a path that every file format can hold: Unix allows names that are no text."""
    return name.encode("utf-8", "backslashreplace").decode()


# ---- what happens, in order -----------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Kept:
    """The pictures that could be read, in order, where their rows are, and why others could not be read."""

    rows: Activations
    names: list[str]
    which: list[int]  # the row of each
    skipped: dict[str, str]

    def chunks(self) -> Iterator[np.ndarray]:
        """Read the rows back, a few MB at once."""
        size = max(1, CHUNK_BYTES // (4 * math.prod(self.rows.shape)))
        for start in range(0, len(self.which), size):
            yield self.read(self.which[start : start + size])

    def read(self, which: Sequence[int]) -> np.ndarray:
        """Return rows float32 [m, ...], in the order asked for."""
        return self.rows.rows(which, [0] * len(which))


def _compute(
    model: Classifier | Backbone, pictures: Pictures, layer: str | None, pool: bool, config: Config, progress: Progress
) -> Kept:
    """Run the network over the pictures whose rows are not kept yet; pictures of equal content have one row."""
    with gathered(pictures, progress) as found:
        paths = [picture.path for picture in found]
        backbone, trained = _sized(model, config.img_size)
        shown = backbone.preprocessing.showing(**config.of_files)
        preprocessing = adjusted(shown, paths, trained=trained, progress=progress)
        digests = read_digests(paths)
        one_each = {digest: path for digest, path in zip(digests, paths, strict=True) if isinstance(digest, str)}
        network = replace(backbone, preprocessing=preprocessing).until(layer, pool=pool)
        contents = list(one_each)
        files = sources.Pictures(list(one_each.values()), contents, preprocessing)
        prefix = _prefix(network, files, config, progress)
        bad = {contents[at]: reason for at, reason in prefix.plain().items()}
    row_of = {digest: at for at, digest in enumerate(prefix.pictures.digests)}
    kept = Kept(prefix.at(len(network.stages)), [], [], {})
    for picture, digest in zip(found, digests, strict=True):
        if isinstance(digest, BadImage) or digest in bad:
            kept.skipped[picture.name] = str(digest if isinstance(digest, BadImage) else bad[digest])
        else:
            kept.names.append(picture.name)
            kept.which.append(row_of[digest])
    return kept


def _prefix(backbone: Backbone, pictures: sources.Pictures, config: Config, progress: Progress) -> Prefix:
    """Return the whole network as what is frozen: its rows are gone through once, and always kept."""
    device, demand = pick_device(config.device), Demand({len(backbone.stages): 1}, trained=0)
    means = Means(
        device, config.engine, "always", "float32", config.cache_limit, instead=SMALLER, precision=config.precision
    )
    return Prefix(backbone, pictures, demand, means, progress)


def opened(model: Model, weights: str | None) -> Classifier | Backbone:
    """Return a model, or a published network, which has no head that is asked.

    Raises:
        UnknownName, BundleError: neither a network's name nor a model's folder.
        ConfigError: `weights` beside a model that brings its own; or what is no model.
    """
    refuse_exported(model)
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
