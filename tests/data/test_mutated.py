"""Damaged pictures of every kind are read or refused in words; `benchmarks/mutated_pictures.py` tries thousands."""

import importlib.util
import random
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

BENCHMARK = Path(__file__).resolve().parents[2] / "benchmarks" / "mutated_pictures.py"


@pytest.fixture(scope="module")
def mutated():
    spec = importlib.util.spec_from_file_location("mutated_pictures", BENCHMARK)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_damaged_pictures_are_read_or_refused_and_nothing_else(mutated):
    found = mutated.try_all(240, seed=3)
    assert found.faults == []
    assert found.tried == found.read + found.refused == 240
    assert found.refused > 50


def test_the_same_seed_does_the_same_damage(mutated):
    sound = mutated.sound_pictures()[0][1]
    first, second, other = (mutated.mutated(sound, random.Random(seed)) for seed in (1, 1, 2))
    assert first == second != other


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux holds a process to so much memory")
def test_a_picture_for_which_there_is_no_memory_is_refused_and_the_next_one_is_read(tmp_path):
    Image.new("RGB", (9000, 9000), "red").save(tmp_path / "large.png")
    Image.new("RGB", (90, 90), "red").save(tmp_path / "small.png")
    script = f"""
import resource
from pathlib import Path
from regraft.data import Preprocessing, read_pixels
with open("/proc/self/statm") as file:
    used = int(file.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 200_000_000, used + 200_000_000))
folder = Path({str(tmp_path)!r})
for _, found in read_pixels([folder / "large.png", folder / "small.png"], Preprocessing(), threads=1):
    print(getattr(found, "shape", found))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["takes more memory than there is", "(224, 224, 3)"]
