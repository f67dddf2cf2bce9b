"""How often do the intervals for groups to come hold what the groups to come give? One table, from simulated patients.

    python benchmarks/coverage.py [--draws 1000] [--groups 10,20,40]

Patients differ in how clearly the model sees their pictures and in a shift of its scale (both normal, on the latent
scale), in their number of pictures (log-normal, 60 at the middle) and in their classes: a quarter has pictures of the
first class only. In the last rows each patient's accuracy is drawn from a beta distribution instead. The truth is the
figure over 160,000 patients. A cell: in how many of 100 draws the interval holds the truth, of those with an interval;
in brackets, of how many of 100 draws there is one, where not of all.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from scipy.special import expit
from scipy.stats import norm

from regraft.metrics.functions import METRICS, evaluate
from regraft.metrics.intervals import Resampling

SHOWN = ("accuracy", "balanced_accuracy", "macro_f1", "auroc", "log_loss")
MANY = 20_000  # patients at once, for the truth


class World(NamedTuple):
    """What patients are like; the accuracy over all of them."""

    accuracy: float
    differ: float = 0.0  # standard deviation of a patient's clearness; a picture's own is 1
    unequal: float = 0.8  # standard deviation of the logarithm of a patient's number of pictures
    size: int = 60  # pictures of the middle patient
    agreement: float = 0.0  # a + b of the beta distribution; 0: none

    def clearness(self) -> float:
        """Return how clearly the middle patient is seen, in standard deviations of a picture."""
        if self.agreement:
            return float(norm.ppf(self.accuracy))
        return float(norm.ppf(self.accuracy) * np.sqrt(1 + self.differ**2 * (1 + SHIFT**2)))

    def draw(self, rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return probabilities [n, 2], labels [n] and patients [n]."""
        sizes = np.maximum(5, self.size * np.exp(rng.normal(0, self.unequal, count))).astype(int)
        of = np.repeat(np.arange(count), sizes)
        share = np.where(rng.random(count) < 0.25, 0.0, rng.beta(2, 2, count))
        labels = (rng.random(len(of)) < share[of]).astype(int)
        if self.agreement:
            right = rng.beta(self.accuracy * self.agreement, (1 - self.accuracy) * self.agreement, count)
            clearness, shift = np.clip(norm.ppf(right), -6, 6), np.zeros(count)
        else:
            clearness = rng.normal(self.clearness(), self.differ, count)
            shift = rng.normal(0, SHIFT * self.differ, count)
        seen = (2 * labels - 1) * clearness[of] + shift[of] + rng.normal(size=len(of))
        positive = expit(2 * self.clearness() * seen)
        return np.stack([1 - positive, positive], 1), labels, of


SHIFT = 0.7  # of a patient's scale, in units of `differ`
WORLDS = [
    *(World(accuracy, differ) for accuracy in (0.85, 0.95, 0.99) for differ in (0.0, 0.3, 0.6, 1.0)),
    World(0.93, 0.5, unequal=0.0),
    World(0.93, 0.5, unequal=1.2),
    World(0.90, 0.5, size=15),
    World(0.90, agreement=10),
    World(0.95, agreement=30),
]


def truth(world: World) -> dict[str, float]:
    """Return the figures over 160,000 patients."""
    rng, found = np.random.default_rng(5), []
    for _ in range(8):
        probs, labels, _ = world.draw(rng, MANY)
        ones = np.ones((1, len(labels)))
        found.append([float(METRICS[name].function(probs, labels, ones)[0]) for name in SHOWN])
    return dict(zip(SHOWN, np.mean(found, axis=0).tolist(), strict=True))


def cells(world: World, counts: list[int], draws: int) -> Iterator[str]:
    """Yield for each number of groups how often each figure's interval holds the truth."""
    true = truth(world)
    for count in counts:
        rng, held, given = np.random.default_rng(count), Counter[str](), Counter[str]()
        for _ in range(draws):
            probs, labels, of = world.draw(rng, count)
            again = Resampling.of(len(labels), of.tolist(), bootstraps=2)
            found = evaluate(probs, labels, ["a", "b"], again=again).intervals
            for name in SHOWN:
                low, high = found[name]
                given[name] += low <= high  # not nan
                held[name] += low <= true[name] <= high
        yield " ".join(_cell(held[name], given[name], draws) for name in SHOWN)


def _cell(held: int, given: int, draws: int) -> str:
    of_all = "" if given == draws else f"({100 * given / draws:.0f})"
    return f"{100 * held / given:.1f}{of_all}" if given else "-"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--groups", default="10,20,40")
    asked = parser.parse_args()
    counts = [int(count) for count in asked.groups.split(",")]
    print(f"{asked.draws} draws; in each cell: {', '.join(SHOWN)}")
    for world in WORLDS:
        told = {name: value for name, value in world._asdict().items() if value != World._field_defaults.get(name)}
        print(", ".join(f"{name} {value}" for name, value in told.items()))
        for count, cell in zip(counts, cells(world, counts, asked.draws), strict=True):
            print(f"  {count:3d} groups  {cell}", flush=True)


if __name__ == "__main__":
    main()
