"""Model -> a folder for other programs: the file, its labels, a program that runs it; tried before it has its name."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files as package_files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from regraft import exporters, run_folder
from regraft.config import with_settings
from regraft.data import Tta
from regraft.errors import ConfigError, UnknownName
from regraft.inference.answering import Answering
from regraft.inference.predict import Model, called, named, open_model, preflight_model
from regraft.utils import files
from regraft.utils.progress import Listener, Progress, listener

if TYPE_CHECKING:
    from regraft.exporters._verification import Verification
    from regraft.inference.classifier import Classifier

INPUTS = ("any", "square")
FOLDER, LABELS, PROGRAM = "exports", "labels.txt", "predict_onnx.py"


@dataclass(frozen=True, repr=False)
class Export:
    """A model in a file for other programs, and how it answers there."""

    file: Path
    format: str
    precision: str
    input: str  # any: pictures of any size; square: what the network sees
    size: int  # pixels: the side of that square
    verification: Verification

    def __repr__(self) -> str:
        """Say what it is, without how it answers."""
        return f"<Export: {self.format}, {self.precision}, in {self.file}>"

    def __fspath__(self) -> str:
        """Stand for the file."""
        return os.fspath(self.file)

    @property
    def megabytes(self) -> float:
        """How large the file is, with what belongs to it; MB of 10^6 bytes."""
        return sum(path.stat().st_size for path in self.file.parent.glob(f"{self.file.stem}.*")) / 1e6

    @property
    def takes(self) -> str:
        """What it takes and gives, in a sentence."""
        size = "of any size" if self.input == "any" else f"of {self.size} x {self.size}"
        usual = f"It takes RGB pictures {size}, uint8 [n, h, w, 3], and gives probabilities [n, classes]."
        return str(getattr(exporters.module(self.format), "TAKES", usual))

    def as_dict(self) -> dict[str, Any]:
        """Return what ``--json`` prints."""
        own = {name: value for name, value in vars(self).items() if name != "verification"}
        return {**own, "file": str(self.file), "megabytes": round(self.megabytes, 2), **self.verification.as_dict()}


@with_settings()
def export(
    model: Model,
    *,
    format: str = "onnx",
    out: str | os.PathLike[str] | None = None,
    precision: str = "float32",
    input: str = "any",
    data: str | os.PathLike[str] | None = None,
    weights: str | None = None,
    progress: Listener = None,
) -> Export:
    """Write a model as a file for other programs, which gives the same answers; it is tried before it has its name.

    Everything is in the file: the picture's resize and crop, the normalisation, the network, the temperature and the
    softmax. It takes uint8 pixels ``[n, h, w, 3]`` in RGB and gives probabilities ``[n, classes]``. Its metadata name
    the classes, the threshold or class weights, the preprocessing, the licence and where the weights came from.
    ``labels.txt`` lies beside, and beside ONNX a program that needs ONNX Runtime, NumPy and Pillow alone.

    Args:
        model: as in `regraft.predict`.
        format: onnx, openvino, pt2 (`torch.export`) or timm.
        out: the file to write. Default: ``exports/<name of model>/model.onnx`` …, with -2 behind the folder's name
            where that is taken.
        precision: float32; float16, half as large; int8, a quarter, with scales found on training pictures.
        input: any (pictures of any size) or square (they are resized outside, to what the network sees).
        data: labelled pictures to try the file on, and for int8 to calibrate it. Default: those of the run, where they
            still are; without any, drawn ones.
        weights: where a pretrained network's tensors come from.
        progress: True shows bars and sentences, False nothing; by default there are warnings alone, `RegraftWarning`.

    Raises:
        ExportError: the file does not answer as the model does, or the format needs a package; nothing is left behind.
        UnknownName: there is no such format.
        ConfigError: no such precision or input; int8 without pictures; or there is such a file already.
    """
    progress = listener(progress)
    writer = exporters.module(format, precision)
    if input not in INPUTS:
        raise UnknownName("input", input, INPUTS)
    out = None if out is None else files.named_path(out)
    _refuse_taken(out, writer.SUFFIX, _beside(format))
    preflight_model(model)
    from regraft.exporters import _pictures
    from regraft.exporters._order import ordered
    from regraft.exporters._verification import calibration, verify

    opened = open_model(model, weights=weights, progress=progress)
    classifier = _viewed(model, opened, progress, once=getattr(writer, "LOOKS_ONCE", False))
    with tempfile.TemporaryDirectory(prefix="regraft-") as folder:
        sample = _pictures.sample(model, classifier, data, Path(folder), progress)
        if precision == "int8" and not sample.training:
            raise ConfigError("--precision int8 is calibrated on training pictures, and there are none: --data DATA")
        chosen = calibration(classifier, sample, any_size=input == "any")
        order = ordered(classifier, asked=input, precision=precision, calibration=chosen)
        wanted = Path(FOLDER, _name(model), f"model{writer.SUFFIX}") if out is None else out
        with files.temporary_beside(wanted.parent if out is None else wanted) as made, files.told_of(wanted, made):
            made.mkdir(parents=True)
            progress.note(f"Writing {wanted.name}.")
            writer.write(order, made / wanted.name)
            run = writer.run(made / wanted.name)
            seen = verify(classifier, run, sample, order, same=writer.SAME, progress=progress)
            _write_beside(made, classifier, format)
            file = _moved(made, wanted, claimed=out is None)
    return Export(file, format, precision, input, classifier.backbone.preprocessing.size, seen)


def _name(model: Model) -> str:
    return "model" if isinstance(model, Answering) else Path(named(model)).resolve().name


def _viewed(model: Model, classifier: Classifier, progress: Progress, *, once: bool) -> Classifier:
    """Return the model as the format can hold it, and say how often the file looks, where the model does more often."""
    views = classifier.tta.views
    if views == 1:
        return classifier
    looks = f"{called(model)} looks at each picture {views} times"
    if classifier.tta.moves and not once:
        progress.note(f"{looks}, and so does the file: it takes so long.")
    else:
        those = "" if once else " Views that are mirrored and turned alone (flip, vflip, turn) lie in a file."
        progress.warn(f"{looks}; the file looks once, at the plain one.{those}")
    return classifier.viewed(Tta()) if once else classifier


# ---- files ----------------------------------------------------------------------------------------------------------


def _refuse_taken(file: Path | None, suffix: str, beside: Sequence[str]) -> None:
    """Raise ConfigError where a file that is asked for, or one that comes with it, has another ending or is there."""
    if file is None:
        return
    if file.suffix != suffix:
        raise ConfigError(f"{file} does not end in {suffix}, as files of that format do.")
    if taken := [one for one in (file, *map(file.with_name, beside)) if os.path.lexists(one)]:
        raise ConfigError(f"{taken[0]} exists already. Name a file in a new folder, or remove it first.")
    if reason := files.obstacle(file.parent):
        raise ConfigError(f"{file}: {reason}. Name a file in another folder.")


def _beside(format: str) -> tuple[str, ...]:
    own = getattr(exporters.module(format), "BESIDE", ())  # what a format writes itself
    return (LABELS, PROGRAM, *own) if format == "onnx" else (LABELS, *own)


def _write_beside(folder: Path, classifier: Classifier, format: str) -> None:
    """Write what a reader of the file needs."""
    lines = "".join(f"{name}\n" for name in classifier.classes)
    (folder / LABELS).write_text(lines, encoding="utf-8", errors="surrogateescape")
    if PROGRAM in _beside(format):
        shutil.copyfile(str(package_files("regraft.exporters") / "templates" / PROGRAM), folder / PROGRAM)


def _moved(made: Path, wanted: Path, *, claimed: bool) -> Path:
    """Give the files their names, in a new folder or in the one that was asked for; the model comes last."""
    if claimed:
        return run_folder.take(made, wanted.parent) / wanted.name
    wanted.parent.mkdir(parents=True, exist_ok=True)
    for path in sorted(made.iterdir(), key=lambda path: path.name == wanted.name):
        files.write_bytes(wanted.parent / path.name, path.read_bytes())
    return wanted
