"""What mishaps cost: commands killed at random moments, pictures and files damaged at random. Nothing may be lost.

    python benchmarks/faults.py                                   # all of it: hours
    python benchmarks/faults.py --parts kills --commands check,features --times 3
    python benchmarks/faults.py --parts pictures,files

kills      `kill -9` at a random moment, `--times` for each command. A moment is the one of so many changes of the files
           that the command writes (its output and the cache), or, every second time, a share of the time that it takes.
           Only where the process was really running does it count. The same command is then given again, with --resume
           where there is a run to go on with, until it ends well; everything that it wrote, report and findings
           included, must equal what an undisturbed one wrote, byte for byte but for the seconds that it took, and
           nothing may lie beside it. Before, two undisturbed ones are compared: they must be equal as well.
pictures   mutated_pictures.py: real pictures with changed bytes
files      damaged_files.py: damaged bundles, weights, checkpoints and kept rows

The data are drawn and the networks small, so that a command takes some seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw

REGRAFT = [sys.executable, "-m", "regraft"]
SMALL = ("--img-size", "64", "--device", "cpu")
LOOK_S = 0.002  # between two looks at the files
MOST_REPEATS = 3


@dataclass(frozen=True)
class Command:
    """A command, and what it leaves."""

    words: tuple[str, ...]  # DATA, RUN and OUT stand for the pictures, a finished run, and what is written
    out: str  # the file or folder
    resumes: bool = False  # with --resume, where there is a run to go on with


COMMANDS = {
    "frozen": Command(("train", "DATA", "--out", "OUT", "--epochs", "8", *SMALL), "run", resumes=True),
    "finetuned": Command(
        ("train", "DATA", "--out", "OUT", "--method", "finetuned", "--epochs", "3", *SMALL), "run", resumes=True
    ),
    "folds": Command(("train", "DATA", "--out", "OUT", "--folds", "3", "--epochs", "4", *SMALL), "run", resumes=True),
    "compare": Command(
        (
            *("compare", "DATA", "--out", "OUT", "--backbones", "tf_efficientnet_lite0,squeezenet1_1"),
            *("--methods", "frozen,features", "--epochs", "3", "--control-epochs", "2", *SMALL),
        ),
        "comparison",
    ),
    "features": Command(("features", "tf_efficientnet_lite0", "DATA", "-o", "OUT", *SMALL), "rows.npz"),
    "predict": Command(("predict", "RUN", "DATA", "-o", "OUT", "--top", "3", "--device", "cpu"), "answers.csv"),
    "check": Command(("check", "DATA", "--out", "OUT", *SMALL), "check"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", default="kills,pictures,files")
    parser.add_argument("--commands", default=",".join(COMMANDS), help="of kills")
    parser.add_argument("--times", type=int, default=20, help="of kills, for each command")
    parser.add_argument("--pictures", type=int, default=10_000, help="how many are mutated")
    parser.add_argument("--files", type=int, default=300, help="how many are damaged")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    here = Path(__file__).parent
    parts: dict[str, Callable[[], bool]] = {
        "kills": lambda: kills(given.commands.split(","), given.times, given.seed),
        "pictures": lambda: other(here / "mutated_pictures.py", str(given.pictures), "--seed", str(given.seed)),
        "files": lambda: other(here / "damaged_files.py", "--count", str(given.files), "--seed", str(given.seed)),
    }
    survived = [parts[name]() for name in given.parts.split(",")]
    raise SystemExit(not all(survived))


def other(script: Path, *words: str) -> bool:
    if not script.exists():
        print(f"{script.name} is not here.")
        return False
    return subprocess.run([sys.executable, script, *words]).returncode == 0


# ---- kills ----------------------------------------------------------------------------------------------------------


def kills(names: Sequence[str], times: int, seed: int) -> bool:
    with tempfile.TemporaryDirectory() as place:
        bench = Bench(Path(place).resolve(), np.random.default_rng(seed))
        print("| command | seconds | changes | tried | effective | survived |\n|---|---|---|---|---|---|", flush=True)
        survived = [bench.row(name, times) for name in names]
    return all(survived)


@dataclass
class Ended:
    """How a command ended that was not disturbed, or the repeats of one that was."""

    seconds: float
    changes: int
    contents: dict[str, bytes]
    beside: list[str]


class Bench:
    """Draws the pictures, trains the run that predict takes, and kills commands."""

    def __init__(self, place: Path, rng: np.random.Generator) -> None:
        self.place, self.rng = place, rng
        self.data, self.run, self.work = place / "shapes", place / "trained", place / "work"
        places = {"REGRAFT_CACHE": self.work / "cache", "REGRAFT_WEIGHTS": place / "weights"}
        self.environment = {**os.environ, **{name: str(folder) for name, folder in places.items()}}
        draw(self.data)
        weigh(place / "weights")

    def row(self, name: str, times: int) -> bool:
        """Kill one command so many times; prints its row, and what went wrong below it."""
        command = COMMANDS[name]
        whole, again = self.undisturbed(command), self.undisturbed(command)
        faults = [f"two undisturbed ones differ: {found}" for found in differences(again, whole)]
        tried = effective = survived = 0
        while effective < times:
            tried += 1
            killed = self.kill(command, whole, by_time=tried % 2 == 0)
            if not killed:
                if tried > 5 * times:
                    faults.append("could not be killed often enough")
                    break
                continue
            effective += 1
            found = self.repeat(command, whole)
            survived += not found
            faults += [f"kill {effective} ({killed}): {one}" for one in found]
        print(f"| {name} | {whole.seconds:.1f} | {whole.changes} | {tried} | {effective} | {survived} |", flush=True)
        for fault in faults:
            print(f"    {fault}", flush=True)
        return not faults

    def undisturbed(self, command: Command) -> Ended:
        self.clear()
        started, changes = time.perf_counter(), Changes(self.work)
        process = self.start(self.words(command))
        while process.poll() is None:
            changes.look()
            time.sleep(LOOK_S)
        if process.returncode:
            raise SystemExit(f"{' '.join(command.words)} fails undisturbed:\n{self.said()}")
        return self.ended(command, time.perf_counter() - started, changes.count)

    def kill(self, command: Command, whole: Ended, *, by_time: bool) -> str:
        """Start a command and kill it; returns the moment, or nothing where it had ended before."""
        self.clear()
        process, changes, started = self.start(self.words(command)), Changes(self.work), time.perf_counter()
        after_s = float(self.rng.uniform(0, whole.seconds)) if by_time else float("inf")
        after = float("inf") if by_time else int(self.rng.integers(1, whole.changes + 1))
        while process.poll() is None and time.perf_counter() - started < after_s and changes.look() < after:
            time.sleep(LOOK_S)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        moment = f"after {after_s:.2f} s" if by_time else f"at change {after} of {whole.changes}"
        return moment if process.wait() == -signal.SIGKILL else ""

    def repeat(self, command: Command, whole: Ended) -> list[str]:
        """Give the command again until it ends well; returns what is not as it should be."""
        for _ in range(MOST_REPEATS):
            resume = command.resumes and (self.work / command.out).exists()
            process = self.start((*self.words(command), *["--resume"] * resume))
            if process.wait() == 0 or "is finished; there is nothing to resume" in self.said():
                return differences(self.ended(command, 0, 0), whole)
        return [f"it never ends well: {self.said()[-300:]}"]

    def ended(self, command: Command, seconds: float, changes: int) -> Ended:
        number_2 = {f"{command.out}-2"}  # of a command that had written all when it was killed
        beside = {path.name for path in self.work.iterdir()} - {"cache", "log", command.out} - number_2
        return Ended(seconds, changes, contents(self.work / command.out), sorted(beside))

    def clear(self) -> None:
        shutil.rmtree(self.work, ignore_errors=True)
        self.work.mkdir()

    def words(self, command: Command) -> tuple[str, ...]:
        if "RUN" in command.words and not self.run.exists():
            train = (*COMMANDS["frozen"].words[:2], "--out", str(self.run), "--no-report", *SMALL)
            subprocess.run([*REGRAFT, *self.placed(train)], env=self.environment, check=True, capture_output=True)
        return self.placed(command.words, self.work / command.out)

    def placed(self, words: Sequence[str], out: Path = Path()) -> tuple[str, ...]:
        stands_for = {"DATA": self.data, "RUN": self.run, "OUT": out}
        return tuple(str(stands_for.get(word, word)) for word in words)

    def start(self, words: Sequence[str]) -> subprocess.Popen[bytes]:
        with (self.work / "log").open("wb") as log:
            return subprocess.Popen(
                [*REGRAFT, *words], cwd=self.work, env=self.environment, stdout=log, stderr=log, start_new_session=True
            )

    def said(self) -> str:
        return (self.work / "log").read_text(errors="replace")


class Changes:
    """Counts how often the files of a folder are seen to change."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.count = folder, 0
        self.last = self.state()

    def look(self) -> int:
        if (now := self.state()) != self.last:
            self.last, self.count = now, self.count + 1
        return self.count

    def state(self) -> list[tuple[str, int, int]]:
        return sorted(self.walk(str(self.folder)))

    def walk(self, folder: str) -> Iterator[tuple[str, int, int]]:
        try:
            entries = list(os.scandir(folder))
        except OSError:
            return
        for entry in entries:
            if entry.name == "log":
                continue
            try:
                about = entry.stat(follow_symlinks=False)
                inside = entry.is_dir(follow_symlinks=False)
            except OSError:
                continue
            yield entry.path, 0 if inside else about.st_size, 0 if inside else about.st_mtime_ns
            if inside:
                yield from self.walk(entry.path)


# ---- what must be equal ---------------------------------------------------------------------------------------------


def differences(found: Ended, whole: Ended) -> list[str]:
    """Say in which files two outcomes differ, and what lies beside them."""
    names = sorted(found.contents.keys() | whole.contents.keys())
    unlike = [name for name in names if found.contents.get(name) != whole.contents.get(name)]
    said = [f"not equal: {', '.join(unlike[:8])}{f' and {len(unlike) - 8} more' * (len(unlike) > 8)}"] * bool(unlike)
    return [*said, *([f"left beside it: {', '.join(found.beside)}"] if found.beside else [])]


def contents(out: Path) -> dict[str, bytes]:
    """Return what a file or a folder holds, without the seconds that it took; an empty folder is there as well."""
    if not out.is_dir():
        return {out.name: out.read_bytes()} if out.exists() else {}
    found = {}
    for path in out.rglob("*"):
        name = path.relative_to(out).as_posix()
        if path.is_dir():
            found |= {} if any(path.iterdir()) else {f"{name}/": b""}
        else:
            found[name] = timeless(name, path.read_bytes())
    return found


TIMES = {
    "seconds",
    "fit_s",
    "feature_extraction_s",
    "predict_ms",
}  # what a clock has measured, in metrics.json and leaderboards


def timeless(name: str, content: bytes) -> bytes:
    """Return a file's content without what depends on how fast the machine was."""
    if name.endswith(".json"):
        return json.dumps(_without(json.loads(content)), indent=1).encode()
    if name == "leaderboard.csv":
        header, *rows = (line.split(",") for line in content.decode().splitlines())
        kept = [at for at, title in enumerate(header) if title not in TIMES]
        return "\n".join(",".join(row[at] for at in kept) for row in (header, *rows)).encode()
    if name == "report.html":
        return re.sub(rb"(?<=<dt>Time</dt><dd>)[^<]*", b"", content)
    if name == "comparison.html":
        text = re.sub(r"<svg.*?</svg>", "", content.decode(), flags=re.DOTALL)  # accuracy against time
        return _said_without(re.sub(r"(<td[^>]*>)[\d.]+(?=</td>)", "", text)).encode()
    return content


def _without(values: Any) -> Any:
    if isinstance(values, dict):
        return {key: _without(value) for key, value in values.items() if key not in TIMES}
    if isinstance(values, list):
        return [_without(value) for value in values]
    return _said_without(values) if isinstance(values, str) else values


def _said_without(text: str) -> str:
    """Return what is said, without seconds, and without which network is quicker than another."""
    text = re.sub(r"; of these \S+ with \w+ predicts quickest, [^.]*(?=\.)", "", text)
    return re.sub(r"(, )?best for its time|[\d.]+ (ms|s)\b", "", text)


# ---- what is learned from -------------------------------------------------------------------------------------------


def draw(folder: Path, per_class: int = 24, size: int = 72) -> None:
    """Draw discs and squares of three colours on grey noise; one file cannot be read, and two are alike."""
    rng, colours = np.random.default_rng(7), {"blue": (40, 60, 220), "green": (30, 170, 60), "red": (210, 40, 40)}
    for colour, rgb in colours.items():
        (folder / colour).mkdir(parents=True)
        for number in range(per_class):
            image = Image.fromarray(rng.integers(60, 200, (size, size, 3), dtype=np.uint8))
            x, y, side = rng.integers(4, 30, 3).tolist()
            shape = ImageDraw.Draw(image).ellipse if number % 2 else ImageDraw.Draw(image).rectangle
            shape((x, y, x + side, y + side), fill=tuple(int(c + rng.normal(0, 40)) % 256 for c in rgb))
            image.save(folder / colour / f"{colour}{number}.png")
    (folder / "red" / "bad.png").write_bytes(b"no picture")
    shutil.copy(folder / "blue" / "blue0.png", folder / "blue" / "copy.png")


def weigh(folder: Path) -> None:
    """Write random weights for a small network: what it has learned is of no concern here."""
    from safetensors.torch import save_file

    from regraft.backbones import build

    folder.mkdir()
    torch.manual_seed(0)
    save_file(build("squeezenet1_1").model.state_dict(), folder / "squeezenet1_1.safetensors")


if __name__ == "__main__":
    main()
