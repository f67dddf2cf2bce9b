"""Run -> a folder with its model and a model card, on the Hugging Face hub or on this machine."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from regraft import run_folder
from regraft.errors import ConfigError, ModelMissing, RunError
from regraft.inference import about, hub
from regraft.inference.about import ABOUT, TENSORS
from regraft.reports import pages
from regraft.utils import files
from regraft.utils.calls import Checks, checked
from regraft.utils.records import to_json
from regraft.utils.version import __version__

CARD, LABELS = "README.md", "config.json"
LICENCES = ("apache-2.0", "mit", "bsd-3-clause", "bsd-2-clause", "cc0-1.0", "cc-by-4.0", "cc-by-nc-4.0")
"""By the names that the hub has for them."""


@dataclass(frozen=True)
class Pushed:
    """Where a model lies now."""

    run: Path
    to: str  # hf://user/name, or a folder
    url: str  # for a browser; empty for a folder

    def as_dict(self) -> dict[str, Any]:
        """Return what ``--json`` prints."""
        return {"run": str(self.run), "to": self.to, "url": self.url}


@checked(Checks())
def push(run: str | os.PathLike[str], to: str | os.PathLike[str], *, public: bool = False) -> Pushed:
    """Write a run's model with a model card to the hub (``hf://user/name``), or into a new folder.

    It holds ``model.safetensors``, ``bundle.json``, ``config.json`` with ``id2label``, and ``README.md``; no picture.

    Args:
        run: the folder of a run, or of a bundle.
        to: ``hf://user/name``, or a folder that is not there yet.
        public: let everyone see it; a repository that is there already stays as it is.

    Raises:
        ModelMissing, RunError: no model there, or that of an unfinished run.
        ConfigError: the folder is there already, no address, or the hub does not take it; no token is in the message.
    """
    source = files.named_path(run)
    bundle = _bundle(source)
    if not hub.is_address(to):
        folder = files.named_path(to)
        if os.path.lexists(folder):
            raise ConfigError(f"{folder} is there already. Name a new folder, or hf://user/name.")
        with files.whole(folder) as made:
            _write(bundle, source, str(folder), made)
        return Pushed(source, str(folder), "")
    address = hub.address_of(str(to))
    if address.revision:
        raise ConfigError(f"{to} names a revision; expected hf://user/name, whose newest one it becomes.")
    with tempfile.TemporaryDirectory(prefix="regraft-") as place:
        made = Path(place) / "model"
        _write(bundle, source, str(to), made)
        _upload(made, address.repository, public)
    return Pushed(source, str(to), f"{hub.endpoint()}/{address.repository}")


def _bundle(source: Path) -> Path:
    folder = about.folder_of(source)
    if folder is None:
        raise ModelMissing(about.no_model(source))
    if about.unfinished(source):
        raise RunError(f"{source} is an unfinished run: finish it with --resume, and push it then.")
    return folder


def _write(bundle: Path, run: Path, address: str, made: Path) -> None:
    """Write the folder; the bundle's own files as they are, so that their digest holds."""
    said = about.read_about(bundle)
    made.mkdir(parents=True)
    for name in (TENSORS, ABOUT):
        shutil.copyfile(bundle / name, made / name)
    (made / LABELS).write_bytes(to_json(_labels(said)))
    (made / CARD).write_text(_card(said, run, address), encoding="utf-8")


def _upload(folder: Path, repository: str, public: bool) -> None:
    from huggingface_hub import HfApi

    api = HfApi()
    try:
        api.create_repo(repository, private=not public, exist_ok=True)
        api.upload_folder(repo_id=repository, folder_path=folder, commit_message=f"Regraft {__version__}")
    except hub.refusals() as error:
        raise ConfigError(
            f"hf://{repository} could not be written: {hub.reason(error)}. Of the model nothing is there; "
            "regraft push RUN FOLDER writes the same files into a folder."
        ) from None


# ---- what is said of it ----------------------------------------------------------------------------------------------


def _labels(said: Mapping[str, Any]) -> dict[str, Any]:
    """Return config.json, as programs around the hub read it."""
    names = list(said["classes"])
    return {
        "model_type": "regraft",
        "architecture": said["backbone"],
        "num_labels": len(names),
        "id2label": {str(number): name for number, name in enumerate(names)},
        "label2id": {name: number for number, name in enumerate(names)},
        "image_size": said["preprocessing"]["size"],
    }


def _card(said: Mapping[str, Any], run: Path, address: str) -> str:
    import jinja2

    measured = _measured(run)
    counts = _counts(run)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(pages.TEMPLATES), trim_blocks=True, undefined=jinja2.StrictUndefined
    )
    return environment.get_template("card.md").render(
        head=_head(said, run, measured),
        name=address.rstrip("/").rpartition("/")[2],
        address=address,
        classes=[_plain(name) for name in said["classes"]],
        backbone=said["backbone"],
        method=said.get("method", ""),
        version=said.get("regraft", __version__),
        tested=measured.get("n_test", 0),
        trained=counts.get("train", 0),
        validated=counts.get("val", 0),
        test=_rows(measured.get("test", {})),
        threshold=said.get("threshold"),
        lineage=[_step(step) for step in said.get("lineage", ())],
    )


def _head(said: Mapping[str, Any], run: Path, measured: Mapping[str, Any]) -> str:
    """Return the YAML that the hub reads."""
    import yaml

    figures = [name for name, value in measured.get("test", {}).items() if isinstance(value, int | float)]
    data = _data(run)
    head = {
        **_licence(said),
        "library_name": "regraft",
        "pipeline_tag": "image-classification",
        "tags": ["image-classification", "transfer-learning", "regraft", said["backbone"]],
        **({"datasets": [data]} if data else {}),
        **({"metrics": figures} if figures else {}),
    }
    return str(yaml.safe_dump(head, sort_keys=False, allow_unicode=True))


def _licence(said: Mapping[str, Any]) -> dict[str, str]:
    """Return the licence of the weights by the hub's name for it; what has none there, or several, is called other."""
    found = {str(step["licence"]) for step in said.get("lineage", ()) if step.get("licence")}
    known = {name for one in found for name in LICENCES if one.lower().startswith(name)}
    if len(found) == len(known) == 1:
        return {"license": known.pop()}
    return {"license": "other", "license_name": "; ".join(sorted(found)) or "unknown"}


def _measured(run: Path) -> dict[str, Any]:
    path = run / run_folder.METRICS
    return run_folder.read_json(path, run_folder.Measured) if path.is_file() else {}


def _data(run: Path) -> str:
    path = run / run_folder.SETTINGS
    return Path(str(run_folder.read_json(path).get("data", ""))).stem if path.is_file() else ""


def _counts(run: Path) -> dict[str, int]:
    parts = [row["split"] for row in files.read_csv(run / "split.csv", ["split"])]
    return {part: parts.count(part) for part in set(parts)}


def _rows(test: Mapping[str, Any]) -> list[dict[str, str]]:
    found = []
    for name, value in test.items():
        if isinstance(value, int | float):
            low, high = test.get(f"{name}_ci") or (None, None)
            interval = f"{low:.3f} to {high:.3f}" if low is not None and high is not None else "–"
            found.append({"name": name.replace("_", " "), "value": f"{value:.3f}", "interval": interval})
    return found


def _step(step: Mapping[str, Any]) -> str:
    if "run" in step:
        return f"then trained as {_plain(step['run'])}, {step.get('method', '')}"
    weights = str(step.get("weights", ""))
    shown = (
        f"file:{Path(weights).name}" if weights.startswith("file:") else weights
    )  # where it lay is nobody's business
    return f"weights {_plain(shown)}, licence {_plain(step.get('licence') or 'unknown')}"


def _plain(text: object) -> str:
    """Return a name that is no Markdown: a class may be called anything."""
    return "".join(f"\\{one}" if one in "\\`*_[]<>|#" else " " if one in "\r\n" else one for one in str(text))
