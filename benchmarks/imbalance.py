"""What rare classes cost: 600 pictures of one class beside 6 to 60 of the other, on real cells with real weights.

    REGRAFT_WEIGHTS=../shared/weights python benchmarks/imbalance.py
    REGRAFT_WEIGHTS=../shared/weights python benchmarks/imbalance.py --methods frozen,features --seeds 5

Each run learns from 70 % of these pictures, 15 % choose the epoch and the temperature, and it is tested on up to 1,000
other pictures of each class. Every test picture then weighs so much that the classes are as unequal as they were in
training: a test part of 15 % would hold one picture of the rare class, and say nothing.

Printed are means over the seeds and over both classes as the rare one: accuracy, and beside it what always answering
the common class would have; balanced accuracy; log loss, and beside it the entropy of the classes' shares, which is the
log loss of who knows only these; and the worst of the log losses, divided by it. The frozen part runs once per picture.
"""

from __future__ import annotations

import argparse
import csv
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from frozen import machine, print_table

COMMON, RARE, TESTED = 600, (6, 12, 30, 60), 1000


class Figures(NamedTuple):
    """Of one run, on test pictures that weigh as the classes' shares want it."""

    accuracy: float
    balanced: float
    log_loss: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?", default=Path(__file__).parents[2] / "shared/data/malaria")
    parser.add_argument("--backbones", default="efficientnet_lite0,mobilenet_v2", help="joined by commas")
    parser.add_argument("--methods", default="frozen", help="joined by commas")
    parser.add_argument("--class-weights", default="auto,off", help="values of that setting, joined by commas")
    parser.add_argument("--rare", default=",".join(map(str, RARE)), help="numbers of pictures, joined by commas")
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()
    if reason := missing(given):
        print(f"Skipped: {reason}", file=sys.stderr)
        return
    report(given)


def missing(given: argparse.Namespace) -> str:
    """Say what a measurement on real pictures lacks; nothing where all is there."""
    from regraft.weights.loading import available

    if not given.data.is_dir():
        return f"there is no folder {given.data} of class folders."
    without = [name for name in given.backbones.split(",") if not available(name)]
    return f"the pretrained weights of {', '.join(without)} are not on this machine." if without else ""


def table(data: Path, rare: int, common: int, seed: int, path: Path) -> None:
    """Write a CSV with parts: `common` is the index of the class that has 600 pictures."""
    rng = np.random.default_rng((seed, common))
    folders = sorted(folder for folder in data.iterdir() if folder.is_dir())
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(("path", "label", "split"))
        for index, folder in enumerate(folders[:2]):
            pictures = rng.permutation(sorted(folder.iterdir()))
            used = COMMON if index == common else rare
            held_out = max(1, round(0.15 * used))
            parts = ["val"] * held_out + ["none"] * held_out + ["train"] * (used - 2 * held_out) + ["test"] * TESTED
            rows.writerows(
                (picture, folder.name, part) for picture, part in zip(pictures, parts, strict=False) if part != "none"
            )


def measure(run: Path, rare: int, common: int) -> Figures:
    """Return a run's figures on its test pictures, weighed."""
    with np.load(run / "answers.npz") as kept:
        probabilities, labels = kept["probabilities"], kept["labels"]
        answered = kept.get("answered", probabilities.argmax(1))
    wanted = np.where(np.arange(2) == common, COMMON, rare) / (COMMON + rare)
    weights = (wanted / np.bincount(labels))[labels]
    true = np.clip(probabilities[np.arange(len(labels)), labels], 1e-15, 1)
    recalls = [(answered == labels)[labels == label].mean() for label in (0, 1)]
    return Figures(float(weights @ (answered == labels)), float(np.mean(recalls)), float(-weights @ np.log(true)))


def entropy(rare: int) -> float:
    """Return the log loss of who knows nothing but the shares."""
    shares = np.array([COMMON, rare]) / (COMMON + rare)
    return float(-(shares * np.log(shares)).sum())


def runs(given: argparse.Namespace, backbone: str, method: str, weighing: str, rare: int) -> list[Figures]:
    """Train once for each seed and each class as the common one."""
    import regraft

    found = []
    for seed, common in ((seed, common) for seed in range(given.seeds) for common in (0, 1)):
        with tempfile.TemporaryDirectory() as folder:
            table(given.data, rare, common, seed, Path(folder) / "cells.csv")
            settings: dict[str, Any] = {"backbone": backbone, "method": method, "class_weights": weighing, "seed": seed}
            run = regraft.train(Path(folder) / "cells.csv", out=Path(folder) / "run", report=False, **settings)
            found.append(measure(run.folder, rare, common))
    return found


def report(given: argparse.Namespace) -> None:
    """Measure, and print the table."""
    rows = []
    for backbone in given.backbones.split(","):
        for method in given.methods.split(","):
            for rare in map(int, given.rare.split(",")):
                for weighing in given.class_weights.split(","):
                    found = runs(given, backbone, method, weighing, rare)
                    mean, prior = Figures(*np.mean(found, axis=0).tolist()), entropy(rare)
                    rows.append(
                        [
                            *(backbone, method, f"{COMMON} : {rare}", weighing),
                            f"{mean.accuracy:.4f} ({COMMON / (COMMON + rare):.4f})",
                            f"{mean.balanced:.4f}",
                            f"{mean.log_loss:.4f} ({prior:.4f})",
                            f"{max(one.log_loss for one in found) / prior:.2f}",
                        ]
                    )
                    print("  " + "  ".join(rows[-1]), file=sys.stderr, flush=True)
    print(machine())
    print(f"{given.data.name}, {given.seeds} seeds, each class once as the rare one.\n")
    titles = ["accuracy (common class)", "balanced accuracy", "log loss (shares alone)", "worst / shares alone"]
    print_table(["network", "method", "pictures", "class weights", *titles], rows)


if __name__ == "__main__":
    main()
