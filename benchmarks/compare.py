"""What `regraft compare` costs beside the work that cannot be spared: one pass of each network, and training its tails.

    python benchmarks/compare.py                                              # 1,000 drawn cells, random weights
    python benchmarks/compare.py ../shared/data/malaria --weights pretrained --backbones mobilenet_v2,squeezenet1_1

What is timed, each in a process of its own, after the imports:

    compare   `regraft.compare` with frozen, finetuned and features; the prefixes are exported, nothing else is kept
    bare      decode + ONNX Runtime over every picture once, and over the training pictures once more for each further
              view; one network after the other, and nothing else
    tails     what the table of that comparison gives as the cells' own time: training on kept activations, evaluation
    two       `regraft.compare` with frozen and features
    one       `regraft.compare` with frozen alone

No control from random weights is trained. Rounds alternate, and the medians are printed: a shared machine is not
equally fast all the time.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from frozen import in_own_process, machine, print_table

METHODS = {"compare": "frozen,finetuned,features", "two": "frozen,features", "one": "frozen"}
VIEWS = 2
TRAINED = 0.7  # of the pictures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?", help="default: drawn cells")
    parser.add_argument("--backbones", default="mobilenet_v2,resnet18", help="joined by commas")
    parser.add_argument("--weights", choices=("random", "pretrained"), default="random")
    parser.add_argument("--img-size", type=int, default=160)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--part", choices=("bare", *METHODS), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.part:
        print(json.dumps(bare(given) if given.part == "bare" else compared(given)))
        return
    with tempfile.TemporaryDirectory() as folder:
        report(given, Path(folder))


# ---- the parts, each in its own process -----------------------------------------------------------------------------


def bare(given: argparse.Namespace) -> dict[str, float]:
    """Time decoding and ONNX Runtime, and nothing else, on the prefixes that an earlier comparison has exported."""
    from concurrent.futures import ThreadPoolExecutor

    import onnxruntime

    from regraft.data import Preprocessing, decode, scan

    paths = [item.path for item in scan(given.data).items]
    look = Preprocessing(size=given.img_size, resize=given.img_size, fit="stretch")
    exported = sorted((Path(os.environ["REGRAFT_CACHE"]) / "prefixes").glob("*.onnx"))
    assert len(exported) == len(given.backbones.split(",")), exported
    start = time.perf_counter()
    for prefix in exported:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = os.cpu_count() or 1
        session = onnxruntime.InferenceSession(str(prefix), options, providers=["CPUExecutionProvider"])
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for view in range(VIEWS):
                seen = paths[: round(TRAINED * len(paths))] if view else paths
                pixels = pool.map(lambda path: decode(path.read_bytes(), look), seen)
                for first in range(0, len(seen), 32):
                    session.run(None, {"pixels": np.stack([next(pixels) for _ in seen[first : first + 32]])})
    return {"seconds": time.perf_counter() - start}


def compared(given: argparse.Namespace) -> dict[str, float]:
    """Time a whole comparison: scan, decode, activate, train every cell, write the runs, the table and its page."""
    import matplotlib.backends.backend_svg  # noqa: F401  imported before the clock starts, as for the bare pass
    import onnxruntime  # noqa: F401
    import sklearn.linear_model
    import sklearn.model_selection  # noqa: F401

    import regraft
    from regraft.training import loop  # noqa: F401

    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as out:
        found = regraft.compare(
            given.data,
            backbones=given.backbones,
            methods=METHODS[given.part],
            weights="random" if given.weights == "random" else None,
            img_size=given.img_size,
            views=VIEWS,
            control_epochs=0,
            out=Path(out) / "comparison",
            device="cpu",
            engine="onnxruntime",
        )
        seconds = time.perf_counter() - start
    rows = found.findings.rows
    assert all(row.status == "ok" for row in rows), rows
    return {"seconds": seconds, "tails": sum(row.fit_s for row in rows)}


# ---- the measurement ------------------------------------------------------------------------------------------------


def apart(part: str, given: argparse.Namespace, data: Path, cache: Path) -> dict[str, float]:
    """Run one part in a fresh process, with no activations kept, and return what it measured."""
    shutil.rmtree(cache / "activations", ignore_errors=True)
    options = {"part": part, "backbones": given.backbones, "weights": given.weights, "img-size": given.img_size}
    found: dict[str, float] = in_own_process([__file__, data], options, cache)
    print(f"  {part}: {', '.join(f'{k} {v:.2f} s' for k, v in found.items())}", file=sys.stderr, flush=True)
    return found


def report(given: argparse.Namespace, folder: Path) -> None:
    """Measure, and print the table."""
    from regraft.data import draw_cells

    given.data = given.data or draw_cells(folder / "cells", per_class=500)
    few = draw_cells(folder / "few", per_class=30)
    apart("compare", given, few, folder / "exported")
    shutil.copytree(folder / "exported", folder / "cache")
    apart("one", given, few, folder / "cache")  # its prefixes are longer: nothing trains but the head
    found: dict[str, list[Any]] = {part: [] for part in ("bare", "one", "two", "compare")}
    for _ in range(given.rounds):
        for part, measured in found.items():
            measured.append(apart(part, given, given.data, folder / ("exported" if part == "bare" else "cache")))
    seconds = {part: median(one["seconds"] for one in measured) for part, measured in found.items()}
    tails = median(one["tails"] for one in found["compare"])
    print(machine())
    print(f"{given.data.name}, {given.backbones} at {given.img_size} px, {given.weights} weights; seconds.\n")
    print_table(
        ["compare", "bare", "tails", "one", "two", "compare / (bare + tails)", "two / one"],
        [
            [
                *(f"{value:.2f}" for value in (seconds["compare"], seconds["bare"], tails)),
                *(f"{seconds[part]:.2f}" for part in ("one", "two")),
                f"{seconds['compare'] / (seconds['bare'] + tails):.2f}",
                f"{seconds['two'] / seconds['one']:.2f}",
            ],
            ["wanted", "", "", "", "", "<= 1.2", "< 1.05"],
        ],
    )


if __name__ == "__main__":
    main()
