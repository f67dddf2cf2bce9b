import os
import socket
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from regraft.data import Preprocessing, digest, read_digests, read_pixels
from regraft.data.reading import MOST_BYTES, read_file
from regraft.errors import BadImage

TINY = Preprocessing(size=4, resize=4, interpolation="nearest")


def draw_greys(folder, count):
    paths = [folder / f"{value}.png" for value in range(count)]
    for value, path in enumerate(paths):
        Image.new("L", (4, 4), value).save(path)
    return paths


def test_pixels_come_in_the_order_of_the_paths(tmp_path):
    paths = draw_greys(tmp_path, 100)
    read = list(read_pixels(paths, TINY, threads=4, ahead=7))
    assert [index for index, _ in read] == list(range(100))
    assert [pixels[0, 0, 0] for _, pixels in read] == list(range(100))


def test_a_bad_file_is_told_in_its_place_and_the_others_go_on(tmp_path):
    paths = draw_greys(tmp_path, 3)
    paths[1].write_bytes(b"")
    (_, first), (_, second), (_, third) = read_pixels([*paths[:2], tmp_path / "none.png"], TINY)
    assert isinstance(first, np.ndarray)
    assert isinstance(second, BadImage)
    assert str(second) == "0 bytes"
    assert str(third) == "No such file or directory"


def test_no_more_than_the_agreed_number_of_files_is_read_ahead(tmp_path):
    class Counted(list):
        taken = 0

        def __iter__(self):
            for path in super().__iter__():
                self.taken += 1
                yield path

    paths = Counted(draw_greys(tmp_path, 50))
    for index, _ in read_pixels(paths, TINY, threads=2, ahead=5):
        assert paths.taken <= index + 6


def test_stopping_early_leaves_no_thread_behind(tmp_path):
    reading = read_pixels(draw_greys(tmp_path, 50), TINY, threads=2, ahead=5)
    next(reading)
    reading.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("read")]


def test_digests_are_those_of_the_bytes(tmp_path):
    paths = draw_greys(tmp_path, 3)
    *digests, missing = read_digests([*paths, tmp_path / "none.png"], threads=2)
    assert digests == [digest(path.read_bytes()) for path in paths]
    assert isinstance(missing, BadImage)


def test_nothing_to_read_is_no_error():
    assert read_digests([], threads=2) == []
    assert list(read_pixels([], TINY)) == []


# only regular files of a sensible size


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such files")
def test_pipes_devices_and_sockets_are_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "endless.png").symlink_to("/dev/zero")
    (tmp_path / "folder.png").mkdir()
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(os.path.relpath(tmp_path / "socket.png"))
        found = read_digests([tmp_path / f"{name}.png" for name in ("pipe", "endless", "folder", "socket")])
    assert [str(reason).split(",")[0] for reason in found] == ["a pipe", "a device", "a folder", "a socket"]


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc here")
def test_a_file_that_does_not_tell_its_size_is_refused():
    with pytest.raises(BadImage, match="grows"):
        read_file(Path("/proc/self/status"))


def test_a_file_of_many_gigabytes_is_refused_before_it_is_read(tmp_path):
    with (tmp_path / "sparse.png").open("wb") as file:
        file.truncate(3 * MOST_BYTES)
    (reason,) = read_digests([tmp_path / "sparse.png"])
    assert str(reason) == "3.0 GB, more than 1.0 GB"
