"""The frozen pass by engine and precision, beside the bare loop of OpenVINO; and what a shorter format costs.

    python benchmarks/engines.py                                         # speed: 256 drawn pictures, four networks
    python benchmarks/engines.py --accuracy cells/ --groups '^C\\d+'       # also: 5 folds, float32 against bfloat16

What is timed, on the same JPEGs of 500x375 at 224 px, after the imports, with the export at hand:

    a pass    `Prefix.plain`: read, decode, run the network, keep the rows; by engine and precision
    bare      decode in as many threads and run OpenVINO in bfloat16 with its own throughput hints; nothing else

All take turns in every round; the fastest of each is printed, and the median of the ratios within a round, since a
shared machine is not equally fast all the time. The weights are random: they do not change how long it takes.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

from frozen import draw

GOALS = {"openvino bfloat16 / onnxruntime float32": (">=", 1.8), "openvino bfloat16 / bare": (">=", 1 / 1.1)}
RUNNERS = (("onnxruntime", "float32"), ("openvino", "float32"), ("openvino", "bfloat16"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--backbones", default="mobilenetv2_100,resnet50,densenet121,vgg16", help="joined by commas")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--accuracy", type=Path, help="labelled pictures; 5 folds in float32 and in bfloat16")
    parser.add_argument("--groups", help="as in regraft train")
    parser.add_argument("--networks", default="mobilenet_v2", help="with weights here, for --accuracy")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if given.images:
            pictures = sorted(draw(Path(folder) / "pictures", given.images).rglob("*.jpg"))
            for name in given.backbones.split(","):
                speed(name, pictures, Path(folder) / name, given.rounds)
        for name in given.networks.split(",") if given.accuracy else ():
            accuracy(name, given, Path(folder))


# ---- speed ----------------------------------------------------------------------------------------------------------


def speed(name: str, paths: list[Path], folder: Path, rounds: int) -> None:
    import torch

    from regraft.activations.prefix import Demand, Means, Prefix
    from regraft.activations.sources import Pictures
    from regraft.backbones import build
    from regraft.data import read_digests

    backbone = build(name)
    backbone = replace(backbone, preprocessing=replace(backbone.preprocessing, size=224, resize=224, fit="stretch"))
    pictures = Pictures(paths, read_digests(paths), backbone.preprocessing)

    def one_pass(engine: str, precision: str) -> None:
        means = Means(torch.device("cpu"), engine, "always", root=folder, precision=precision)
        prefix = Prefix(backbone, pictures, Demand({len(backbone.stages): 1}, len(paths)), means)
        assert not prefix.plain()
        shutil.rmtree(folder / "activations")

    ways: dict[str, Callable[[], None]] = {" ".join(way): lambda way=way: one_pass(*way) for way in RUNNERS}  # type: ignore[misc]
    for way in ways.values():
        way()  # exports, and compiles
    (export,) = (folder / "prefixes").glob("*.onnx")
    ways["bare"] = lambda: bare(export, paths, backbone.preprocessing)
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way, run in ways.items():
            start = time.perf_counter()
            run()
            seconds[way].append(time.perf_counter() - start)
    told = ", ".join(f"{way} {len(paths) / min(times):.1f}" for way, times in seconds.items())
    print(f"{name}, pictures/s: {told}", flush=True)
    for goal, (sign, value) in GOALS.items():
        new, old = goal.split(" / ")
        ratio = median(before / after for before, after in zip(seconds[old], seconds[new], strict=True))
        print(f"  {goal}: {ratio:.2f} (wanted {sign} {value:.2f})", flush=True)


def bare(export: Path, paths: list[Path], preprocessing: Any) -> None:
    import openvino

    from regraft.data import THREADS, decode

    core, size = openvino.Core(), preprocessing.size
    model = core.read_model(export.read_bytes())
    model.reshape({0: [1, size, size, 3]})
    compiled = core.compile_model(model, "CPU", {"PERFORMANCE_HINT": "THROUGHPUT", "INFERENCE_PRECISION_HINT": "bf16"})
    requests = [compiled.create_infer_request() for _ in range(8)]
    with ThreadPoolExecutor(THREADS) as pool:
        for at, pixels in enumerate(pool.map(lambda path: decode(path.read_bytes(), preprocessing), paths)):
            request = requests[at % len(requests)]
            request.wait()
            request.start_async({0: pixels[None]})
    for request in requests:
        request.wait()


# ---- accuracy -------------------------------------------------------------------------------------------------------


def accuracy(name: str, given: argparse.Namespace, folder: Path) -> None:
    told = {}
    for precision in ("float32", "bfloat16"):
        command = [sys.executable, "-m", "regraft", "train", str(given.accuracy), "--backbone", name, "--folds", "5"]
        command += ["--method", "features", "--precision", precision, "--engine", "openvino", "--no-report", "--json"]
        command += ["--groups", given.groups] if given.groups else []
        cache = os.environ | {"REGRAFT_CACHE": str(folder / "cache")}
        run = ["--out", str(folder / f"{name}-{precision}")]
        done = subprocess.run([*command, *run], capture_output=True, text=True, env=cache, check=True)
        told[precision] = json.loads(done.stdout)["test"]
    values = {precision: f"{test['accuracy']:.4f} (AUROC {test['auroc']:.4f})" for precision, test in told.items()}
    lost = told["float32"]["accuracy"] - told["bfloat16"]["accuracy"]
    print(f"{name}, accuracy by 5 folds: {values}; bfloat16 loses {lost:.4f} (wanted <= 0.003)", flush=True)


if __name__ == "__main__":
    main()
