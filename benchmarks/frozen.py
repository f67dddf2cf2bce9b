"""Frozen training against the usual loop: the same pictures, network, epochs and batch, in one run on this machine.

    python benchmarks/frozen.py                      # 1,000 pictures, 10 epochs, ResNet-18 and ResNet-50
    python benchmarks/frozen.py --memory             # also: peak memory at 1,000 and at 5,000 pictures

What is timed, each in a process of its own, after the imports:

    loop      PyTorch's transfer-learning tutorial with the body frozen: every epoch runs the whole network, forward,
              over the training and the validation pictures
    bare      decode + ONNX Runtime over every picture once, on the prefix that an earlier run exported; nothing else
    regraft   `regraft.train(method="frozen")`: the exported prefix is there, no activations are kept yet; with
              the engine and precision that `auto` takes, so it may beat the bare pass (`engines.py` has one of its own)
    repeat    the same command again: now the activations are there, too

No report.html is written (report=False): it is for people, takes some seconds whatever the network and the epochs, and
the loop has nothing like it.

The weights are random: they change what is learned, not how long it takes. bare, regraft and repeat alternate, and the
medians are printed, since a shared machine is not equally fast all the time.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

CLASSES = ("circle", "cross", "square", "stripes")
VALIDATION = 0.15
SETTINGS: dict[str, Any] = {
    "method": "frozen",
    "weights": "random",
    "patience": 10**5,
    "seed": 0,
    "device": "cpu",
    "report": False,
}
GOALS = {"loop / regraft": (">=", 15.0), "regraft / bare": ("<=", 1.2), "repeat / bare": ("<=", 0.1)}


def main() -> None:
    given = arguments()
    if given.part:
        print(json.dumps(PARTS[given.part](given)))
        return
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        report(given, Path(folder))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--backbones", default="resnet18,resnet50", help="joined by commas")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3, help="of bare, regraft, repeat")
    parser.add_argument(
        "--loop-epochs",
        default="resnet50=2",
        help="NAME=N,…: run the loop for N epochs and scale its time to all of them; the others run them all",
    )
    parser.add_argument("--workers", type=int, help="of the loop's DataLoader; default: the faster of 0 and 2")
    parser.add_argument("--memory", action="store_true", help="compare peak memory with five times the pictures")
    parser.add_argument("--folder", type=Path, help="for the pictures; default: the system's temporary folder")
    for name in ("part", "data", "cache", "backbone"):
        parser.add_argument(f"--{name}", help=argparse.SUPPRESS)
    return parser.parse_args()


# ---- the pictures ---------------------------------------------------------------------------------------------------


def draw(folder: Path, count: int) -> Path:
    """Draw FOLDER/{train,val}/<class>/<n>.jpg, 500x375, of about 60 kB: the size and weight of ImageNet's."""
    for number in range(count):
        part = "val" if number % 100 < VALIDATION * 100 else "train"
        label = CLASSES[number // 100 % len(CLASSES) if count >= 400 else number % len(CLASSES)]
        path = folder / part / label / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture(label, np.random.default_rng(number)).save(path, quality=90)
    return folder


def picture(label: str, rng: np.random.Generator) -> Image.Image:
    coarse = Image.fromarray(rng.integers(0, 256, (24, 32, 3), dtype=np.uint8))
    pixels = np.asarray(coarse.resize((500, 375), Image.Resampling.BICUBIC)).astype(np.int16)
    image = Image.fromarray(np.clip(pixels + rng.normal(0, 6, pixels.shape), 0, 255).astype(np.uint8))
    pen, colour = ImageDraw.Draw(image), tuple(rng.integers(0, 256, 3).tolist())
    x, y, size = *rng.integers(0, (300, 175)).tolist(), int(rng.integers(100, 200))
    box = (x, y, x + size, y + size)
    if label == "circle":
        pen.ellipse(box, fill=colour)
    elif label == "square":
        pen.rectangle(box, fill=colour)
    elif label == "cross":
        pen.line(box, fill=colour, width=20)
        pen.line((x + size, y, x, y + size), fill=colour, width=20)
    else:
        for offset in range(0, size, 40):
            pen.line((x, y + offset, x + size, y + offset), fill=colour, width=14)
    return image


# ---- the parts, each in its own process -----------------------------------------------------------------------------


def loop(given: argparse.Namespace) -> dict[str, Any]:
    """Time "ConvNet as fixed feature extractor".

    https://pytorch.org/tutorials/beginner/transfer_learning_tutorial.html, with the batch size that all parts share.
    """
    from regraft.backbones import torchvision_compat

    torchvision_compat.torchvision()
    import torch
    from torch import nn
    from torchvision import datasets, models, transforms

    normalise = transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    looks = {
        "train": [transforms.RandomResizedCrop(224), transforms.RandomHorizontalFlip()],
        "val": [transforms.Resize(256), transforms.CenterCrop(224)],
    }
    parts = {
        part: datasets.ImageFolder(
            str(Path(given.data) / part), transforms.Compose([*look, transforms.ToTensor(), normalise])
        )
        for part, look in looks.items()
    }
    torch.manual_seed(0)
    model = getattr(models, given.backbone)(weights=None)
    for parameter in model.parameters():
        parameter.requires_grad = False
    model.fc = nn.Linear(model.fc.in_features, len(CLASSES))
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.fc.parameters(), lr=0.001, momentum=0.9)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, step_size=7, gamma=0.1)

    def epochs(count: int, workers: int, most: int | None = None) -> float:
        """Return the seconds of `count` epochs, of at most `most` batches each."""
        loaders = {
            part: torch.utils.data.DataLoader(data, given.batch_size, shuffle=True, num_workers=workers)
            for part, data in parts.items()
        }
        start = time.perf_counter()
        for _ in range(count):
            for part, loader in loaders.items():
                model.train(part == "train")
                for number, (inputs, labels) in enumerate(loader):
                    if number == most:
                        break
                    optimizer.zero_grad()
                    with torch.set_grad_enabled(part == "train"):
                        loss = criterion(model(inputs), labels)
                        if part == "train":
                            loss.backward()
                            optimizer.step()
                    loss.item()
                if part == "train":
                    schedule.step()
        return time.perf_counter() - start

    epochs(1, 0, most=1)  # the first batch allocates
    trials = [given.workers] if given.workers is not None else [0, 2]
    workers = min(trials, key=lambda workers: epochs(1, workers, most=5)) if len(trials) > 1 else trials[0]
    run = dict(pair.split("=") for pair in given.loop_epochs.split(",") if pair).get(given.backbone, given.epochs)
    seconds = epochs(min(int(run), given.epochs), workers)
    return {
        "seconds": seconds / min(int(run), given.epochs) * given.epochs,
        "epochs": min(int(run), given.epochs),
        "workers": workers,
        **peak(),
    }


def bare(given: argparse.Namespace) -> dict[str, Any]:
    """Time decoding and ONNX Runtime, and nothing else, on the prefix that an earlier run has exported."""
    from concurrent.futures import ThreadPoolExecutor

    import onnxruntime

    from regraft.data import Preprocessing, decode

    (exported,) = (Path(given.cache) / "prefixes").glob("*.onnx")
    paths, look = sorted(Path(given.data).rglob("*.jpg")), Preprocessing(size=224, resize=224, fit="stretch")
    start = time.perf_counter()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = os.cpu_count() or 1
    session = onnxruntime.InferenceSession(str(exported), options, providers=["CPUExecutionProvider"])
    rows = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        pixels = pool.map(lambda path: decode(path.read_bytes(), look), paths)
        for first in range(0, len(paths), 32):
            batch = np.stack([next(pixels) for _ in paths[first : first + 32]])
            rows.append(session.run(None, {"pixels": batch})[0])
    assert sum(map(len, rows)) == len(paths)
    return {"seconds": time.perf_counter() - start, **peak()}


def regraft(given: argparse.Namespace) -> dict[str, Any]:
    """Time the whole command: scan, decode, activate, train for all epochs, evaluate, write the run."""
    import matplotlib.backends.backend_svg  # noqa: F401  imported before the clock starts, as for the bare pass
    import onnxruntime  # noqa: F401
    import sklearn.model_selection  # noqa: F401

    from regraft.experiments.train import train as train_run

    start = time.perf_counter()
    run = train_run(
        given.data,
        out=Path(given.cache) / "runs" / "run",
        backbone=given.backbone,
        epochs=given.epochs,
        batch_size=given.batch_size,
        **SETTINGS,
    )
    seconds = time.perf_counter() - start
    rows = len((run.folder / "history.csv").read_text().splitlines()) - 1
    assert rows == given.epochs, f"{rows} epochs instead of {given.epochs}"
    return {"seconds": seconds, **peak()}


def prepare(given: argparse.Namespace) -> dict[str, Any]:
    """The earlier run that exports the prefix."""
    from regraft.experiments.train import train as train_run

    train_run(
        given.data,
        out=Path(given.cache) / "runs" / "earlier",
        backbone=given.backbone,
        epochs=1,
        engine="onnxruntime",
        **SETTINGS,
    )
    return {"seconds": 0.0, **peak()}


PARTS: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "loop": loop,
    "bare": bare,
    "regraft": regraft,
    "prepare": prepare,
}


def peak() -> dict[str, float]:
    """Return the most memory that this process has had, in MB; macOS counts bytes, Linux kilobytes."""
    unit = 1e6 if sys.platform == "darwin" else 1e3
    return {"peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit}


# ---- the measurement ------------------------------------------------------------------------------------------------


def apart(part: str, given: argparse.Namespace, data: Path, cache: Path, backbone: str) -> dict[str, Any]:
    """Run one part in a fresh process and return what it measured."""
    options: dict[str, Any] = {
        "part": part,
        "data": data,
        "cache": cache,
        "backbone": backbone,
        "epochs": given.epochs,
        "batch-size": given.batch_size,
        "loop-epochs": given.loop_epochs,
    }
    if given.workers is not None:
        options["workers"] = given.workers
    found = in_own_process([__file__], options, cache)
    print(f"  {backbone} {part}: {found['seconds']:.2f} s, {found['peak_mb']:.0f} MB", file=sys.stderr, flush=True)
    return found


def in_own_process(words: Sequence[object], options: Mapping[str, Any], cache: Path) -> dict[str, Any]:
    """Run a script with a cache of its own, and return the JSON in its last line."""
    command = [sys.executable, *map(str, words), *(f"--{name}={value}" for name, value in options.items())]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "REGRAFT_CACHE": str(cache)})
    if done.returncode:
        raise SystemExit(f"{shlex.join(command)} failed:\n{done.stderr}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def measure(backbone: str, given: argparse.Namespace, data: Path, folder: Path) -> dict[str, Any]:
    """Return the median seconds of every part."""
    cache = folder / f"cache-{backbone}"
    apart("prepare", given, draw(folder / "few", 60), cache, backbone)
    found: dict[str, list[dict[str, Any]]] = {"bare": [], "regraft": [], "repeat": []}
    for _ in range(given.rounds):
        found["bare"].append(apart("bare", given, data, cache, backbone))
        shutil.rmtree(cache / "activations")
        found["regraft"].append(apart("regraft", given, data, cache, backbone))
        found["repeat"].append(apart("regraft", given, data, cache, backbone))
    slow = apart("loop", given, data, cache, backbone)
    seconds = {part: median(one["seconds"] for one in all_of_them) for part, all_of_them in found.items()}
    return {"loop": slow["seconds"], **seconds, "about the loop": slow}


def report(given: argparse.Namespace, folder: Path) -> None:
    """Measure, and print the tables."""
    print(f"Drawing {given.images} pictures …", file=sys.stderr, flush=True)
    data, backbones = draw(folder / "pictures", given.images), given.backbones.split(",")
    print(machine())
    print(f"{given.images} JPEGs of 500x375, {given.epochs} epochs, batches of {given.batch_size}; seconds.\n")
    columns = ("loop", "bare", "regraft", "repeat")
    rows = []
    for backbone in backbones:
        found = measure(backbone, given, data, folder)
        ratios = [found[left] / found[right] for left, right in (name.split(" / ") for name in GOALS)]
        rows.append([backbone, *(f"{found[column]:.2f}" for column in columns), *(f"{ratio:.2f}" for ratio in ratios)])
        about = found["about the loop"]
        scaled = "" if about["epochs"] == given.epochs else f", scaled from {about['epochs']} epochs"
        rows[-1][1] += f" ({about['workers']} workers{scaled})"
    goals = ["wanted", "", "", "", "", *(f"{sign} {goal:g}" for sign, goal in GOALS.values())]
    print_table(["backbone", *columns, *GOALS], [*rows, goals])
    if given.memory:
        print_table(*memory(given, data, folder, backbones))


def memory(
    given: argparse.Namespace, data: Path, folder: Path, backbones: Sequence[str]
) -> tuple[list[str], list[list[str]]]:
    """Compare peak memory at the given number of pictures and at five times as many."""
    many, rows = draw(folder / "many", 5 * given.images), []
    for backbone in backbones:
        cache = folder / f"cache-{backbone}"
        peaks = []
        for pictures in (data, many):
            shutil.rmtree(cache / "activations", ignore_errors=True)
            peaks.append(apart("regraft", given, pictures, cache, backbone)["peak_mb"])
        rows.append([backbone, *(f"{peak:.0f}" for peak in peaks), f"{peaks[1] / peaks[0]:.3f}"])
    header = ["peak memory, MB", f"{given.images} pictures", f"{5 * given.images} pictures", "ratio"]
    return header, [*rows, ["wanted", "", "", "<= 1.15"]]


def machine() -> str:
    """Say what was measured on."""
    import onnxruntime
    import torch

    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    name = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())
    return f"{name}, {os.cpu_count()} cores; torch {torch.__version__}, onnxruntime {onnxruntime.__version__}."


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]
    for number, row in enumerate((header, *rows)):
        print("| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |")
        if number == 0:
            print("|" + "|".join("-" * (width + 2) for width in widths) + "|")
    print(flush=True)


if __name__ == "__main__":
    main()
