"""Path of a model -> the model as the service has it: its name, its queue, and what explains it."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from PIL import Image

from regraft.config import Config
from regraft.data import decode
from regraft.errors import UnknownName
from regraft.inference.answering import Answering
from regraft.inference.predict import is_exported, open_answering
from regraft.serve.batching import Batcher, Full
from regraft.serve.limits import Limits
from regraft.utils.files import named_path
from regraft.utils.progress import Progress

if TYPE_CHECKING:
    from regraft.inference.explaining import Seen

PLAIN_NAMES = ("model", "bundle")
"""Of files and folders that are called after what they are: then the folder around them says whose model it is."""
MOST_EXPLAINED = 8
"""Heat maps that wait at once: each takes as long as many predictions."""


class Explaining:
    """What draws heat maps of a model: torch and the bundle's tensors, which are loaded when the first is asked for."""

    def __init__(self, path: str, requested: Mapping[str, Any]) -> None:
        self._path, self._config = path, Config(**requested)
        self._one, self._waiting = ThreadPoolExecutor(1, thread_name_prefix="explain"), 0

    def submit(self, content: bytes, label: str | None) -> Future[tuple[bytes, Seen]]:
        """Let a picture wait for its PNG, in which it stands beside its heat map; empty where no place speaks.

        Its future raises BadImage where it cannot be read.

        Raises:
            Full: too many wait.
        """
        if self._waiting >= MOST_EXPLAINED:
            raise Full
        self._waiting += 1
        future = self._one.submit(self._png, content, label)
        future.add_done_callback(self._done)
        return future

    def close(self) -> None:
        """Draw what waits, and end the thread."""
        self._one.shutdown()

    def _done(self, future: object) -> None:
        self._waiting -= 1

    def _png(self, content: bytes, label: str | None) -> tuple[bytes, Seen]:
        look, explain, classes = self._opened
        (seen,) = explain([decode(content, look)], None if label is None else classes.index(label))
        file = io.BytesIO()
        if seen.pair is not None:
            seen.pair.save(file, "PNG", compress_level=1)
        return file.getvalue(), seen

    @cached_property
    def _opened(self) -> tuple[Any, Any, tuple[str, ...]]:
        from regraft.inference.explaining import explainer
        from regraft.inference.predict import open_model

        classifier = open_model(self._path, weights=self._config.weights)
        classifier = classifier.looking(classifier.preprocessing.showing(**self._config.of_files))
        return classifier.preprocessing, explainer(classifier, self._config.device), classifier.classes


@dataclass(frozen=True)
class Hosted:
    """One model of the service."""

    name: str
    answering: Answering
    batches: Batcher
    explaining: Explaining | None  # an exported file has no heat maps

    def close(self) -> None:
        """Answer what waits."""
        self.batches.close()
        if self.explaining:
            self.explaining.close()


def open_hosted(
    models: Sequence[str],
    requested: Mapping[str, Any],
    limits: Limits,
    heard: Callable[[str, int], None],
    progress: Progress,
) -> dict[str, Hosted]:
    """Open models, by the names that clients call them by.

    Args:
        models: as in `regraft.predict`.
        requested: settings, as of `regraft predict`.
        limits: of what waits, and of what is run together.
        heard: is called with a model's name and the size of each of its batches.
        progress: hears what opening has to say.

    Raises:
        RegraftError: as `regraft.predict` of such a model.
    """
    found, queued = dict[str, Hosted](), partial(Batcher, most=limits.waiting, at_once=limits.batch)
    for model in models:
        name = _free(_name(model), found)
        found[name] = _open(name, model, requested, progress, partial(queued, heard=partial(heard, name)))
    return found


def _open(
    name: str, model: str, requested: Mapping[str, Any], progress: Progress, batcher: Callable[..., Batcher]
) -> Hosted:
    config = Config(**requested)
    on = {"device": config.device, "engine": config.engine}
    answering = open_answering(model, lambda found: None, weights=config.weights, **on, progress=progress)
    answering = answering.looking(answering.preprocessing.showing(**config.of_files))
    if answering.rule:
        progress.note(f"{name} predicts {answering.rule}.")
    answer = answering.of_contents(**on)
    list(answer([_blank(answering.preprocessing.size)]))  # so that the first request waits for nothing
    return Hosted(name, answering, batcher(answer), None if is_exported(model) else Explaining(model, requested))


def _blank(size: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (size, size), "grey").save(file, "PNG")
    return file.getvalue()


def _name(model: str) -> str:
    path = named_path(model).absolute()
    stem = path.stem if is_exported(model) else path.name
    return path.parent.name or stem if stem in PLAIN_NAMES else stem


def _free(name: str, taken: Mapping[str, object]) -> str:
    names = [name, *(f"{name}-{number}" for number in range(2, len(taken) + 2))]
    return next(one for one in names if one not in taken)


def choose(hosted: Mapping[str, Hosted], name: str | None) -> Hosted:
    """Return a model by its name, the first one without.

    Raises:
        UnknownName: there is none of this name.
    """
    if name is None:
        return next(iter(hosted.values()))
    if name not in hosted:
        raise UnknownName("model", name, hosted)
    return hosted[name]
