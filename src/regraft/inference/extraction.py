"""Network x pictures -> rows of one stage: the whole network is what is frozen, run once and kept."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from regraft.activations import sources
from regraft.activations.devices import pick_device
from regraft.activations.prefix import Demand, Means, Prefix
from regraft.activations.sources import Activations
from regraft.backbones import Backbone
from regraft.config import Config
from regraft.data import Pictures, adjusted, gathered, read_digests
from regraft.errors import BadImage, ConfigError
from regraft.inference import bundle
from regraft.inference.classifier import Classifier
from regraft.inference.predict import Model, named, refuse_exported
from regraft.utils.progress import Progress
from regraft.weights.loading import filled

CHUNK_BYTES = 16 << 20  # read back and written at once: what memory a file of any size takes

SMALLER = "leave out --no-pool, or take a later --layer or a smaller --img-size"
"""What helps where rows do not fit."""


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


def computed(
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
