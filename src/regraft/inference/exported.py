"""Exported file -> predictions, without torch: a user's .onnx, or what predicting has kept of a bundle in the cache.

What is kept of a bundle takes squares that the decoder makes, and answers as the bundle does: with a head that was
trained on rows in a shorter format, the part below it is what OpenVINO has compiled of it, in that format.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from msgspec import Meta

from regraft.activations.store import make_room
from regraft.data import Preprocessing, Tta, ahead_of
from regraft.data.decode import decode_whole
from regraft.errors import BundleError, ConfigError, ModelMissing, StoreError, reason_of
from regraft.inference.about import TENSORS, digest_of, folder_of, read_about, threshold_of, tta_of
from regraft.inference.answering import MOST_EXPORTS, Answering, Decoded, Run, S
from regraft.metrics.thresholds import Threshold
from regraft.utils import files, onnx_file, openvino_runtime
from regraft.utils.machine import cache_folder, cores, may_have_accelerator, processor
from regraft.utils.progress import Progress
from regraft.utils.records import Above0, fitted

if TYPE_CHECKING:
    from regraft.inference.classifier import Classifier

SUFFIX = ".onnx"
FORMAT = 1
"""Of what is said in an exported file: raised where an earlier reader would misread it."""
PLAIN = ("backbone", "input", "licence", "method", "precision", "regraft", "sha256", "body", "body_precision")
"""What is text as it is; all else is JSON."""


@dataclass(frozen=True)
class Said:
    """What a file has to say of its model, as far as it is read; the other entries are for people."""

    format: Annotated[int, Meta(ge=1)]
    backbone: str
    classes: Annotated[tuple[Annotated[str, Meta(min_length=1)], ...], Meta(min_length=1)]
    preprocessing: dict[str, Any]
    input: str = "square"
    method: str = ""
    threshold: dict[str, Any] | None = None
    class_weights: tuple[Above0, ...] | None = None
    tta: dict[str, Any] | None = None


@dataclass(frozen=True, eq=False, repr=False)
class Exported(Answering):
    """A model that needs no torch: opened once, it answers from any thread, and keeps nothing of what it has seen."""

    said: Said
    look: Preprocessing
    run: Run
    classes: tuple[str, ...]
    about: dict[str, Any]
    threshold: Threshold | None = None
    class_weights: tuple[float, ...] | None = None
    tta: Tta = Tta()
    folder: Path | None = None

    @property
    def preprocessing(self) -> Preprocessing:
        """What it expects of pictures."""
        return self.look

    @property
    def network_name(self) -> str:
        """The network's name."""
        return self.said.backbone

    @property
    def trained(self) -> bool:
        """Whether it learned its classes in a training; else they are those of ImageNet."""
        return self.said.method != "pretrained"

    @property
    def any_size(self) -> bool:
        """Whether it makes the square itself."""
        return self.said.input == "any"

    @property
    def at_once(self) -> int:
        """How many pictures are run together: one, where they differ in size."""
        return 1 if self.any_size else super().at_once

    def looking(self, preprocessing: Preprocessing) -> Exported:
        """Return the model with another preprocessing."""
        return replace(self, look=preprocessing)

    def viewed(self, tta: Tta) -> Exported:
        """Return the model that predicts from these views of a picture."""
        return replace(self, tta=tta)

    def engine(self, device: str, engine: str, pictures: int, progress: Progress) -> Run:
        """Return what runs the network.

        Raises:
            ConfigError: it is to run elsewhere than on the CPU, or with another engine.
        """
        if device not in ("auto", "cpu") or engine not in ("auto", "onnxruntime"):
            raise ConfigError(
                f"An exported file runs on the CPU with ONNX Runtime, not with --device {device} --engine {engine}. "
                "Leave these out, or name the run that it came from."
            )
        return self.run

    def decoded(self, pictures: Iterable[S], content_of: Callable[[S], bytes]) -> Iterator[Decoded]:
        """Yield the pixels of every picture as the network takes them, or why it cannot be read."""
        if not self.any_size:
            return super().decoded(pictures, content_of)
        return ahead_of(lambda one: decode_whole(content_of(one), self.look), pictures, ahead=4)


def open_file(path: Path) -> Exported:
    """Open an ONNX file that `regraft export` has written.

    Raises:
        ModelMissing: there is none.
        BundleError: it was changed, or is none of Regraft's, or of a newer format.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelMissing(f"There is no file {path} ({reason_of(error)}). Expected one of regraft export.") from error
    if not onnx_file.is_whole(content):
        raise BundleError(
            f"{path} is not as regraft export wrote it, a byte was changed or lost; or something else wrote it. "
            "Copy it again, or export it anew."
        )
    session = onnx_file.session(content, cores())
    about = _decoded(session.get_modelmeta().custom_metadata_map)
    return _opened(path, about, lambda pixels: session.run(None, {"pixels": pixels}))


def _decoded(entries: Mapping[str, str]) -> dict[str, Any]:
    return {name: value if name in PLAIN else json.loads(value) for name, value in entries.items()}


def _opened(path: Path, about: dict[str, Any], run: Run) -> Exported:
    try:
        said = fitted(about, Said, others=True)
        look = Preprocessing.from_dict(said.preprocessing)
        threshold = threshold_of(said.threshold, said.classes)
        tta = Tta() if said.tta is None or said.input == "any" else tta_of(said.tta)
    except ValueError as error:
        raise BundleError(f"{path} does not say what it must ({reason_of(error)}). Export it anew.") from error
    if said.format > FORMAT:
        raise BundleError(f"{path} has format {said.format}; this Regraft reads up to {FORMAT}. Update it.")
    return Exported(said, look, run, said.classes, about, threshold, said.class_weights, tta)


# ---- what is kept of a bundle ---------------------------------------------------------------------------------------


def kept(model: Path, progress: Progress) -> Exported | None:
    """Return what is kept of a run or bundle, if it is there and whole; what is damaged is deleted, and said.

    Raises:
        BundleError: there is no such bundle, or it cannot be read.
    """
    folder = folder_of(model)
    about = read_about(folder) if folder else {}
    if folder is None or not _is_whole(folder, about):
        return None  # the way over torch says what is wrong
    path = _path(about)
    content = files.read_kept(path, onnx_file.sound, progress.warn, "the network is exported again")
    return None if content is None else _of_bundle(path, content, about)


def _is_whole(folder: Path, about: dict[str, Any]) -> bool:
    try:
        found = digest_of(files.sha256(folder / TENSORS), about)
    except OSError:
        return False
    return bool(found == about["sha256"])


def _path(about: Mapping[str, Any]) -> Path:
    """Return where an export of that bundle lies: it fits these versions, and what is compiled fits this processor."""
    try:
        compiler = version("openvino")
    except PackageNotFoundError:
        compiler = ""
    of_machine = [compiler, processor(), cores()]
    key = hashlib.sha256(json.dumps([FORMAT, about["sha256"], *of_machine]).encode()).hexdigest()[:32]
    return cache_folder() / "prefixes" / f"{key}{SUFFIX}"


def _of_bundle(path: Path, content: bytes, about: dict[str, Any]) -> Exported | None:
    """Open what is kept; None where the part below the head is gone or damaged."""
    session = onnx_file.session(content, cores())
    entries = session.get_modelmeta().custom_metadata_map
    run: Run = lambda pixels: session.run(None, {"pixels": pixels})  # noqa: E731
    if name := entries.get("body"):
        body = openvino_runtime.kept(path.with_name(name), entries["body_precision"])
        if body is None:
            return None
        run = lambda pixels: session.run(None, {"pixels": body(pixels)[0]})  # noqa: E731
        files.in_use(path.with_name(name))
    files.in_use(path)
    return _opened(path, {**about, "format": FORMAT}, run)


def keep(classifier: Classifier, progress: Progress) -> None:
    """Export a bundle's model into the cache, so that the next prediction needs no torch.

    Raises:
        StoreError, CacheFull: nothing can be written there.
    """
    from regraft.activations.engines._export import export

    path = _path(classifier.about)
    progress.note(f"Exporting {classifier.network_name}, once: from now on it predicts at once.")
    network, example, about = classifier.for_export(progress)
    export(network, example, path=path, about=about)
    make_room([path.parent], 0, MOST_EXPORTS)


def answers_alike(device: str, engine: str) -> bool:
    """Say whether what is kept of a bundle is what a prediction would be computed with."""
    return engine == "auto" and (device == "cpu" or (device == "auto" and not may_have_accelerator()))


def quick(model: Path, load: Callable[[], Classifier], progress: Progress) -> Answering:
    """Return what is kept of a bundle; where there is nothing, `load` it and keep it for the next time."""
    if found := kept(model, progress):
        return found
    classifier = load()
    try:
        keep(classifier, progress)
    except StoreError as error:
        progress.note(f"{error} Going on with torch, which is slower.")
        return classifier
    return kept(model, progress) or classifier
