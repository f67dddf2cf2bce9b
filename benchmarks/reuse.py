"""Does a network trained on trucks help with cars? Against the same network from random weights, on few pictures.

    python benchmarks/reuse.py ../shared/data/cifar          # prints the table of docs/reuse.md

FOLDER holds truck, automobile, airplane, ship, horse and dog (pictures of CIFAR-10). The first task is truck against
the rest, from random weights; the second is automobile against the rest, with 20, 50 and 200 pictures of each class,
once from the first network and once from random weights. No picture is in both tasks, and trucks are in no part of the
second.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np

import regraft

REST = ("airplane", "ship", "horse", "dog")
PICTURES = (20, 50, 200)
TESTED, VALIDATED = 150, 40  # pictures of each class in the second task
WAYS: dict[str, dict[str, Any]] = {
    "random weights": {"method": "scratch"},
    "from trucks, frozen": {"method": "frozen"},
    "from trucks, finetuned": {"method": "finetuned"},
    "from trucks, full": {"method": "full"},
}
SETTINGS: dict[str, Any] = {"img_size": 32, "device": "cpu"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--backbone", default="resnet18")
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        found = {(count, way): [] for count in PICTURES for way in WAYS}
        for seed in range(given.seeds):
            for (count, way), accuracy in measure(given.folder, Path(place), given.backbone, seed).items():
                found[count, way].append(accuracy)
    print(as_table(found, given.seeds))


def measure(folder: Path, place: Path, backbone: str, seed: int) -> dict[tuple[int, str], float]:
    """Return the test accuracy in the second task for every count of pictures and way of starting."""
    rng = np.random.default_rng(seed)
    names = {
        label: rng.permutation(sorted((folder / label).iterdir())).tolist() for label in (*REST, "truck", "automobile")
    }
    rest = rng.permutation([path for label in REST for path in names[label][:200]]).tolist()
    other = rng.permutation([path for label in REST for path in names[label][200:]]).tolist()
    source = table(place / f"trucks-{seed}.csv", {"truck": names["truck"], "other": rest[: len(names["truck"])]})
    start = dict(backbone=backbone, seed=seed, report=False, **SETTINGS)
    trucks = regraft.train(source, method="scratch", out=place / f"trucks-{seed}", **start)
    accuracies = {}
    for count in PICTURES:
        parts = {
            label: {
                "test": paths[:TESTED],
                "val": paths[TESTED : TESTED + VALIDATED],
                "train": paths[TESTED + VALIDATED :][:count],
            }
            for label, paths in (("automobile", names["automobile"]), ("other", other))
        }
        cars = split_table(place / f"cars-{seed}-{count}.csv", parts)
        for way, settings in WAYS.items():
            reuse = {} if settings["method"] == "scratch" else {"from_run": trucks.folder}
            run = regraft.train(cars, out=place / f"{seed}-{count}-{way}", **start, **settings, **reuse)
            accuracies[count, way] = run.test.values["accuracy"]
            print(f"seed {seed}, {count} pictures a class, {way}: {accuracies[count, way]:.3f}", flush=True)
    return accuracies


def table(path: Path, paths: dict[str, Sequence[Path]]) -> Path:
    return write(path, ["path", "label"], [(each, label) for label, those in paths.items() for each in those])


def split_table(path: Path, parts: dict[str, dict[str, Sequence[Path]]]) -> Path:
    rows = [(each, label, part) for label, those in parts.items() for part, paths in those.items() for each in paths]
    return write(path, ["path", "label", "split"], rows)


def write(path: Path, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def as_table(found: dict[tuple[int, str], list[float]], seeds: int) -> str:
    lines = [f"| pictures a class | {' | '.join(WAYS)} |", "|---" * (1 + len(WAYS)) + "|"]
    for count in PICTURES:
        cells = [found[count, way] for way in WAYS]
        shown = [f"{mean(cell):.3f} ± {stdev(cell):.3f}" if seeds > 1 else f"{cell[0]:.3f}" for cell in cells]
        lines.append(f"| {count} | {' | '.join(shown)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
