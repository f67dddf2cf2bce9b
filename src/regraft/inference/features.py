"""Network x pictures -> features: what one stage makes of each picture, computed once, kept, read back in chunks."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from regraft.config import Config, with_settings
from regraft.data import Pictures
from regraft.errors import BadImage, NoImages
from regraft.inference.predict import Model, preflight_model
from regraft.inference.results import Features
from regraft.utils import arrays
from regraft.utils.files import named_path
from regraft.utils.progress import Listener, listener


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
    preflight_model(model, pictures)
    from regraft.inference.extraction import computed, opened

    kept = computed(opened(model, weights), pictures, layer, pool, config, progress)
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
    preflight_model(model, pictures)
    from regraft.inference.extraction import computed, opened

    kept = computed(opened(model, config.weights), pictures, layer, pool, config, progress)
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
