import hashlib
import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from regraft.errors import ChecksumMismatch, WeightsError
from regraft.weights.reading import read, verify_named

STATE = {"a.weight": torch.arange(6.0).view(2, 3), "a.bias": torch.ones(2)}


def wrapped(content: object, path: Path) -> Path:
    torch.save(content, path)
    return path


@pytest.mark.parametrize(
    "content",
    [
        STATE,
        {"state_dict": STATE, "epoch": 3},
        {"model": STATE},
        {"module." + name: tensor for name, tensor in STATE.items()},
        {"state_dict": {"module." + name: tensor for name, tensor in STATE.items()}},
    ],
)
@pytest.mark.parametrize("suffix", [".pth", ".pt"])
def test_the_wrappers_of_training_scripts_come_off(tmp_path: Path, content: object, suffix: str) -> None:
    state = read(wrapped(content, tmp_path / f"net{suffix}"))
    assert state.keys() == STATE.keys()
    assert all(torch.equal(state[name], STATE[name]) for name in STATE)


def test_safetensors_are_read(tmp_path: Path) -> None:
    save_file(STATE, tmp_path / "net.safetensors")
    assert torch.equal(read(tmp_path / "net.safetensors")["a.weight"], STATE["a.weight"])


def cut_off(path: Path) -> Path:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("content", [b"", b"hello", b"\x80\x02garbage", b"<!DOCTYPE html><html>Not found</html>"])
def test_what_is_no_file_of_tensors_is_one_clear_line(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"net{suffix}"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match="cannot be read, is it whole") as caught:
        read(path)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    save_file(STATE, tmp_path / "net.safetensors")
    for path in (tmp_path / "net.safetensors", wrapped(STATE, tmp_path / "net.pth")):
        with pytest.raises(WeightsError, match="cannot be read, is it whole"):
            read(cut_off(path))


class Command:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (Path("ran"),)


def test_pickled_code_does_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("evil.pth").write_bytes(pickle.dumps({"weight": Command()}, protocol=2))
    for path in (Path("evil.pth"), wrapped(Command(), Path("newer.pth"))):
        with pytest.raises(WeightsError):
            read(path)
    assert not Path("ran").exists()


@pytest.mark.parametrize("content", [{}, [1, 2], {"epoch": 3}, {"a": STATE}])
def test_a_file_without_tensors_is_refused(tmp_path: Path, content: object) -> None:
    with pytest.raises(WeightsError, match="holds no state dict"):
        read(wrapped(content, tmp_path / "net.pth"))


def test_an_unknown_kind_of_file_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"expected \.safetensors, \.pth, \.pt"):
        read(tmp_path / "net.h5")


def test_a_published_name_vouches_for_the_content(tmp_path: Path) -> None:
    path = tmp_path / f"net-{hashlib.sha256(b'tensors').hexdigest()[:8]}.pth"
    path.write_bytes(b"tensors")
    verify_named(path)
    path.write_bytes(b"tensorz")
    with pytest.raises(ChecksumMismatch, match="was changed or cut off"):
        verify_named(path)


def flip(path: Path) -> Path:
    """Change a number: torch itself would read it."""
    content = path.read_bytes()
    at = content.index(STATE["a.weight"].numpy().tobytes()) + 4
    path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
    return path


def pack(path: Path) -> Path:
    """Make it unpack to far more than it takes."""
    with zipfile.ZipFile(path) as given:
        entries = {entry.filename: given.read(entry) for entry in given.infolist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in entries.items():
            made.writestr(name, content + bytes(10**7))
    return path


@pytest.mark.parametrize("harm", [flip, pack])
def test_a_pytorch_file_is_held_to_its_own_checksums_and_never_unpacked(tmp_path: Path, harm: Any) -> None:
    path = wrapped(STATE, tmp_path / "net.pth")
    assert read(path).keys() == STATE.keys()
    with pytest.raises(WeightsError, match="cannot be read"):
        read(harm(path))


@pytest.mark.parametrize("name", [1, (1, 2), None])
def test_a_state_dict_has_names(tmp_path: Path, name: object) -> None:
    with pytest.raises(WeightsError, match="no state dict"):
        read(wrapped({**STATE, name: torch.ones(1)}, tmp_path / "net.pth"))
