"""Pictures are looked at once; what has changed since it was digested is not kept under its name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from regraft.audit.looking import look_at
from regraft.data import Preprocessing, Thumbnail, read_digests, read_thumbnails, scan
from regraft.errors import BadImage


@pytest.fixture
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("REGRAFT_CACHE", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    for number in range(6):
        path = tmp_path / "data" / ("a", "b")[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        size = (20 + number, 30, 3) if number else (24, 24)
        Image.fromarray(rng.integers(0, 256, size, dtype=np.uint8)).save(path)
    return tmp_path / "data"


def looked_at(data: Path) -> list[Thumbnail]:
    manifest = scan(data)
    digests = [str(digest) for digest in read_digests([item.path for item in manifest.items])]
    return look_at(manifest, digests, Preprocessing())


def equal(one: Thumbnail, other: Thumbnail) -> bool:
    return all(np.array_equal(mine, its) and type(mine) is type(its) for mine, its in zip(one, other, strict=True))


def test_what_is_kept_equals_what_is_read(pictures: Path) -> None:
    read = read_thumbnails([item.path for item in scan(pictures).items])
    for _ in range(2):
        assert all(map(equal, looked_at(pictures), read))


def test_a_second_time_no_file_is_opened(pictures: Path) -> None:
    manifest = scan(pictures)
    digests = [str(digest) for digest in read_digests([item.path for item in manifest.items])]
    first = look_at(manifest, digests, Preprocessing())
    for item in manifest.items:
        item.path.unlink()
    assert all(map(equal, look_at(manifest, digests, Preprocessing()), first))


def test_a_picture_that_has_changed_is_refused(pictures: Path) -> None:
    manifest = scan(pictures)
    digests = [str(digest) for digest in read_digests([item.path for item in manifest.items])]
    manifest.items[2].path.write_bytes(manifest.items[3].path.read_bytes())
    with pytest.raises(BadImage, match="changed while"):
        look_at(manifest, digests, Preprocessing())


def test_no_pictures_are_no_thumbnails(pictures: Path) -> None:
    assert look_at(scan(pictures).keep([]), [], Preprocessing()) == []
