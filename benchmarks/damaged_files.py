"""Damaged and hostile files: is each one refused in one line, or healed, without a traceback and in little memory?

    python benchmarks/damaged_files.py --count 300 --seed 0

Every kind of file that Regraft reads back is drawn up once: a run with its bundle, a stopped training's checkpoints, a
comparison, a cache, weights. Then one file after the other is damaged (bytes flipped, zeroed, cut off, put in) or
edited (a value of another type, a huge, negative or infinite number, an entry too many or too few, a name twice, shapes
that the file cannot hold), and what reads it is called. A bundle is edited by somebody who knows how its digest is
made.

Prints a row for each kind of file: tried, refused with an error of Regraft in one line, read all the same (the damage
changed nothing that counts, or nothing that can be told), healed; and what went wrong. Exit status 1 where something
did.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import random
import shutil
import struct
import sys
import tempfile
import time
import traceback
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MOST_MEMORY_MB, MOST_SECONDS = 1500, 60
SIZE, NETWORK = 64, "squeezenet1_1"
SHORT = {"img_size": SIZE, "epochs": 2, "device": "cpu"}

Mutation = Callable[[bytes, random.Random], bytes]

# ---- how files are damaged ------------------------------------------------------------------------------------------


def damage(content: bytes, rng: random.Random) -> bytes:
    """Do what a disk, a network or an editor does to bytes."""
    at, long = rng.randrange(len(content) or 1), rng.choice([1, 8, 512, 4096])
    return rng.choice(
        [
            content[:at] + bytes([(content[at] if content else 0) ^ (1 << rng.randrange(8))]) + content[at + 1 :],
            content[:at] + bytes(long) + content[at + long :],
            content[:at] + rng.randbytes(long) + content[at + long :],
            content[:at] + rng.randbytes(long) + content[at:],
            content[:at],
            content + rng.randbytes(long),
            bytes(len(content)),
            b"",
        ]
    )


HOSTILE: tuple[Any, ...] = (
    *(None, True, -1, 0, 1, 2.5, 10**30, -(10**30), 1e308, 10**400, float("nan"), float("inf")),
    *("", " ", "0", "nan", "\0", "../../x", "x" * 100_000, "\udc80", "{{7*7}}", "<script>"),
    *([], {}, [[]], [None], {"a": {}}, [0] * 100_000, [["a"]] * 3),
)
RAW = (
    b"[" * 200_000,
    b"1" * 10_000,
    b'{"a":1}{',
    b"\xff\xfe{\0}\0",
    b"NaN",
    b"null",
    b"\xef\xbb\xbf{}",
    b'"' + b"a" * 10**6,
)


def edit_values(values: Any, rng: random.Random) -> Any:
    """Put something else in one place of a JSON value, or take it away."""
    values = json.loads(json.dumps(values))
    places = list(_places(values))
    if not places:
        return rng.choice(HOSTILE)
    for _ in range(rng.choice([1, 1, 1, 3])):
        holder, key = rng.choice(places)
        what = rng.randrange(8)
        try:
            if what == 0:
                del holder[key]
            elif what == 1 and isinstance(holder, list):
                holder.extend([holder[key]] * rng.choice([1, 50_000]))
            elif what == 1:
                holder["more"] = rng.choice(HOSTILE)
            elif what == 2 and isinstance(holder[key], int | float):
                holder[key] = holder[key] * rng.choice([-1, 2, 1000, 10**12]) + rng.choice([0, 1])
            elif what == 3:
                holder[key] = str(holder[key])
            else:
                holder[key] = rng.choice(HOSTILE)
        except (LookupError, OverflowError):
            continue  # an earlier edit has taken the place away
    return values


def _places(values: Any) -> Iterable[tuple[Any, Any]]:
    for key in values if isinstance(values, dict) else range(len(values)) if isinstance(values, list) else ():
        yield values, key
        yield from _places(values[key])


def edit_json(content: bytes, rng: random.Random) -> bytes:
    if rng.random() < 0.1:
        return rng.choice(RAW)
    return json.dumps(edit_values(json.loads(content), rng)).encode()


def edit_table(content: bytes, rng: random.Random) -> bytes:
    rows = [line.split(b",") for line in content.split(b"\n")]
    row = rng.choice(rows[:-1] or rows)
    cells = [b"", b"nan", b"inf", b"-1", b"1e400", b"9" * 5000, b'"', b"\0", b"\r", b"\xff", b"x" * 200_000, b"=1+1"]
    what = rng.randrange(6)
    if what == 0:
        rows.remove(row)
    elif what == 1:
        rows.insert(1, row)
    elif what == 2:
        row.append(b"x")
    elif what == 3:
        row.pop()
    else:
        row[rng.randrange(len(row) or 1) :][:1] = [rng.choice(cells)]
        if row:
            row[rng.randrange(len(row))] = rng.choice(cells)
    return b"\n".join(b",".join(cells) for cells in rows)


def edit_arrays(content: bytes, rng: random.Random) -> bytes:
    import numpy as np

    with np.load(io.BytesIO(content)) as kept:
        arrays = dict(kept)
    name = rng.choice(sorted(arrays))
    found = arrays[name]
    edits: list[Callable[[], Any]] = [
        lambda: arrays.pop(name),
        lambda: arrays.update({name: found[:-1]}),
        lambda: arrays.update({name: each[:-1] for name, each in arrays.items()}),  # those of fewer pictures
        lambda: arrays.update({name: found.T[None]}),
        lambda: arrays.update({name: found.astype("complex64" if found.dtype.kind != "U" else "S9")}),
        lambda: arrays.update({name: found.astype(str)}),
        lambda: arrays.update({name: np.full(found.shape, rng.choice([np.nan, -1, 1e30, 7]))}),
        lambda: arrays.update({name: np.array({"a": 1}, object)}),
        lambda: arrays.update({name: np.zeros(0)}),
        lambda: arrays.update({name: np.zeros((30_000, 10_000), np.uint8)}),  # packs to nearly nothing
    ]
    rng.choice(edits)()
    out = io.BytesIO()
    rng.choice([np.savez, np.savez_compressed])(out, **arrays)
    text = out.getvalue()
    if rng.random() < 0.2:
        text = text.replace(b"'shape': (", b"'shape': (9" + b"9" * rng.choice([0, 9]), 1)
    return text


def edit_safetensors(content: bytes, rng: random.Random) -> bytes:
    (size,) = struct.unpack("<Q", content[:8])
    header, rest = json.loads(content[8 : 8 + size]), bytearray(content[8 + size :])
    what = rng.randrange(5)
    if what == 0:
        return struct.pack("<Q", rng.choice([0, 1, size + 1, 2**40, 2**63])) + content[8:]
    if what == 1:
        at = rng.randrange(len(rest) // 4) * 4
        rest[at : at + 4] = struct.pack("<f", rng.choice([float("nan"), float("inf"), 3e38]))
    elif what == 2:
        name = rng.choice([name for name in header if name != "__metadata__"])
        header[name]["dtype"] = rng.choice(["I32", "F16", "BOOL", "F64", "U8", "F8_E4M3", "C64", "X"])
    elif what == 3:
        name = rng.choice([name for name in header if name != "__metadata__"])
        header[rng.choice(["", "head.x", name.upper()])] = header.pop(name)
    else:
        header = edit_values(header, rng)
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(rest)


def edit_torch(content: bytes, rng: random.Random) -> bytes:
    import torch

    kept = torch.load(io.BytesIO(content), weights_only=True)
    places = [(holder, key) for holder, key in _places_of(kept) if not isinstance(key, tuple)]
    holder, key = rng.choice(places)
    value = holder[key]
    shape = tuple(value.shape) if isinstance(value, torch.Tensor) else (3,)
    holder[key] = rng.choice(
        [
            *HOSTILE[:14],
            torch.full(shape, float("nan")),
            torch.ones(shape, dtype=torch.complex64),
            torch.ones(shape, dtype=torch.int32),
            torch.ones((*shape, 2)),
            torch.ones(shape).to_sparse(),
            torch.ones(1).expand(100_000, 100_000),  # four bytes that claim to be 40 GB
            torch.empty(shape, device="meta"),
        ]
    )
    if rng.random() < 0.2:
        del holder[key]
    if rng.random() < 0.1:
        kept[(1, 2)] = torch.ones(1)
    out = io.BytesIO()
    torch.save(kept, out, _use_new_zipfile_serialization=rng.random() < 0.8)
    return _packed(out.getvalue()) if rng.random() < 0.1 else out.getvalue()


def _places_of(values: Any) -> Iterable[tuple[Any, Any]]:
    keys = list(values) if isinstance(values, dict) else range(len(values)) if isinstance(values, list) else ()
    for key in keys:
        yield values, key
        yield from _places_of(values[key])


def _packed(content: bytes) -> bytes:
    out = io.BytesIO()
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as given, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as made:
            for entry in given.infolist():
                made.writestr(entry.filename, given.read(entry) + bytes(10**8 if "/data/" in entry.filename else 0))
    except zipfile.BadZipFile:
        return content
    return out.getvalue()


EDITS: dict[str, Mutation] = {
    ".json": edit_json,
    ".csv": edit_table,
    ".npz": edit_arrays,
    ".safetensors": edit_safetensors,
    ".pth": edit_torch,
    ".ckpt": edit_torch,
}


def harm(path: Path, rng: random.Random) -> None:
    content = path.read_bytes()
    edit = EDITS.get(path.suffix)
    path.write_bytes((edit if edit and rng.random() < 0.7 else damage)(content, rng))


# ---- what reads them ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Target:
    """A kind of file: where it lies in a folder that is copied for each try, and what reads it there."""

    name: str
    folder: Path
    file: str  # a pattern below the folder
    read: Callable[[Path], Any]
    heals: bool = False  # what comes back must then equal what came back from the sound files
    harm: Callable[[Path, random.Random], None] = harm


def draw(folder: Path) -> Path:
    from PIL import Image

    rng = random.Random(0)
    for label, colour in (("green", (20, 160, 40)), ("red", (200, 30, 30))):
        (folder / label).mkdir(parents=True)
        for number in range(12):
            picture = Image.frombytes("RGB", (SIZE, SIZE), rng.randbytes(SIZE * SIZE * 3))
            picture.paste(colour, (8, 8, 40 + number, 40))
            picture.save(folder / label / f"{number}.png")
    return folder


def targets(place: Path) -> list[Target]:
    """Draw up all kinds of files below `place`."""
    import regraft
    from regraft import run_folder
    from regraft.data import learned_digests, scan, split_from
    from regraft.inference import bundle
    from regraft.reports import run_page

    data = draw(place / "data")
    os.environ |= {"REGRAFT_CACHE": str(place / "cache"), "REGRAFT_HOME": str(place / "home")}
    settings: dict[str, Any] = {"backbone": NETWORK, "weights": "random", **SHORT}
    run = regraft.train(data, out=place / "run", **settings).folder
    picture = next((data / "red").iterdir())

    def open_bundle(folder: Path) -> None:
        list(bundle.load(folder).predict([picture], device="cpu"))

    def report(folder: Path) -> None:
        run_folder.finished(folder)
        run_page.report(folder)

    def begin_again(folder: Path) -> None:
        run_folder.settings_of(folder, {})
        report(folder)

    def follow(folder: Path) -> None:
        split_from(scan(data), folder)
        learned_digests(folder / "split.csv")
        report(folder)

    of_run = {"config.json": begin_again, "split.csv": follow}
    of_run |= dict.fromkeys(
        ("metrics.json", "predictions.csv", "answers.npz", "history.csv", "skipped.csv", "findings.csv"), report
    )
    return [
        Target("bundle.json", run / "model", "bundle.json", open_bundle),
        Target("bundle.json, sealed anew", run / "model", "bundle.json", open_bundle, harm=edit_sealed),
        Target("model.safetensors", run / "model", "model.safetensors", open_bundle),
        Target("model.safetensors, sealed anew", run / "model", "model.safetensors", open_bundle, harm=edit_sealed),
        *(Target(name, run, name, read) for name, read in of_run.items()),
        *_checkpoints(place),
        *_weights(place),
        *_cache(place, data),
        *_comparison(place, data),
    ]


def edit_sealed(path: Path, rng: random.Random) -> None:
    """Edit a bundle as somebody does who knows how its digest is made."""
    from regraft.inference import bundle

    path.write_bytes(EDITS[path.suffix](path.read_bytes(), rng))
    try:
        about = json.loads((path.parent / bundle.ABOUT).read_bytes())
        tensors = hashlib.sha256((path.parent / bundle.TENSORS).read_bytes()).digest()
        about["sha256"] = bundle.digest_of(tensors, about)
        (path.parent / bundle.ABOUT).write_text(json.dumps(about))
    except (ValueError, TypeError, AttributeError, RecursionError):
        pass


def _checkpoints(place: Path) -> list[Target]:
    import torch
    from torch import nn

    from regraft.training import checkpoints, loop
    from regraft.training.batches import Examples
    from regraft.training.head import HeadSpec, build_head
    from regraft.training.module import Recipe
    from regraft.utils.progress import Progress

    class Rows:
        shape = (4,)

        def rows(self, which: Any, views: Any) -> Any:
            return torch.arange(len(which) * 4).reshape(-1, 4).remainder(7).float().numpy()

    class Stopping(Progress):
        """Keeps what a training that was stopped after some epochs would have left."""

        @contextmanager
        def track(self, what: str, total: int, unit: str = "") -> Any:
            done = []

            def tick(advance: int = 1, text: str = "") -> None:
                done.append(text)
                if len(done) == 4:
                    shutil.copy(folder / "last.ckpt", place / "last.ckpt")

            yield tick

    def fit(folder: Path, progress: Progress | None = None) -> None:
        import numpy as np

        examples = Examples(Rows(), np.arange(20) % 2, np.arange(20), 1)
        head = build_head(HeadSpec(4, 2, 8))
        keeping = loop.Keeping(folder, folder / "history.csv", "head", resume=True, every_s=0)
        trained, recipe = loop.Trained(nn.Sequential(), head), Recipe(epochs=6, lr=1e-3)
        loop.fit(trained, (examples, examples), recipe, keeping, progress=progress)
        checkpoints.restore(nn.Sequential(), head, folder / "best.ckpt")

    folder = place / "checkpoints"
    folder.mkdir()
    fit(folder, Stopping())
    shutil.move(place / "last.ckpt", folder / "last.ckpt")

    def restore(folder: Path) -> None:
        checkpoints.restore(nn.Sequential(), build_head(HeadSpec(4, 2, 8)), folder / "best.ckpt")

    return [Target("last.ckpt", folder, "last.ckpt", fit), Target("best.ckpt", folder, "best.ckpt", restore)]


def _weights(place: Path) -> list[Target]:
    import torch
    from safetensors.torch import save_file

    from regraft.backbones import build
    from regraft.weights import importing, loading

    folder = place / "weights"
    folder.mkdir()
    state = build(NETWORK).model.state_dict()
    torch.save({"state_dict": state}, folder / f"{NETWORK}.pth")
    save_file(state, folder / f"{NETWORK}.safetensors")
    importing.import_file(folder / f"{NETWORK}.pth", NETWORK)
    shutil.copytree(place / "home", place / "imports")

    def read(folder: Path, suffix: str) -> None:
        loading.load(build(NETWORK), str(folder / f"{NETWORK}{suffix}"))

    def read_import(folder: Path) -> None:
        with variable("REGRAFT_HOME", folder):
            loading.load(build(NETWORK), "imported")

    return [
        *(
            Target(f"weights{suffix}", folder, f"{NETWORK}{suffix}", lambda folder, suffix=suffix: read(folder, suffix))
            for suffix in (".pth", ".safetensors")
        ),
        Target("imported weights", place / "imports", "weights/*.safetensors", read_import),
    ]


def _cache(place: Path, data: Path) -> list[Target]:
    import regraft

    def read(folder: Path) -> bytes:
        with variable("REGRAFT_CACHE", folder):
            return regraft.features(place / "run", [data], engine="onnxruntime").tobytes()

    read(place / "kept")
    patterns = {
        "kept rows": "activations/*/*.rows",
        "their index": "activations/*/*.index",
        "export": "prefixes/*.onnx",
    }
    found = [Target(name, place / "kept", pattern, read, heals=True) for name, pattern in patterns.items()]

    def read_export(folder: Path) -> bytes:  # without kept rows the network has to run
        shutil.rmtree(folder / "activations", ignore_errors=True)
        return read(folder)

    return [*found[:2], Target("export", place / "kept", patterns["export"], read_export, heals=True)]


def _comparison(place: Path, data: Path) -> list[Target]:
    import regraft
    from regraft import run_folder
    from regraft.experiments import halving
    from regraft.reports.comparison_report import SETTINGS

    settings: dict[str, Any] = {
        "backbones": "tf_efficientnet_lite0",
        "methods": "features,frozen",
        "control_epochs": 0,
        **SHORT,
    }

    def go_on(folder: Path) -> None:
        regraft.compare(data, out=folder, **settings)

    def tried(folder: Path) -> None:
        run_folder.read_as(next(folder.rglob(halving.TRIED)), halving.Tried)

    made = place / "comparison"
    go_on(made)
    about = json.loads((made / SETTINGS).read_text())
    (made / SETTINGS).write_text(json.dumps(about | {"finished": False}))
    (made / "rounds").mkdir()
    run_folder.write_json(made / "rounds" / halving.TRIED, {"accuracy": 0.5, "seconds": 1.0})
    return [
        Target("comparison.json", made, SETTINGS, go_on),
        Target("row.json", made, "*-frozen/row.json", go_on),
        Target("answers.npz of a row", made, "*-frozen/answers.npz", go_on),
        Target("split.csv of a comparison", made, "split.csv", go_on),
        Target("tried.json", made, f"rounds/{halving.TRIED}", tried),
    ]


@contextmanager
def variable(name: str, folder: Path) -> Any:
    before, os.environ[name] = os.environ[name], str(folder)
    try:
        yield
    finally:
        os.environ[name] = before


# ---- trying ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Outcome:
    """What came of one try."""

    target: str
    seed: int
    kind: str  # refused, read, healed or wrong
    said: str = ""


def try_one(target: Target, seed: int, sound: dict[str, Any], place: Path) -> Outcome:
    from regraft.errors import RegraftError

    rng, folder = random.Random(seed), place / "tried"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(target.folder, folder)
    if target.name not in sound:
        sound[target.name] = target.read(folder)  # or what refuses everything would pass for careful
        shutil.rmtree(folder)
        shutil.copytree(target.folder, folder)
    target.harm(rng.choice(sorted(folder.glob(target.file))), rng)
    before_mb, start = peak_mb(), time.perf_counter()
    try:
        found = target.read(folder)
        kind, said = ("healed" if target.heals else "read"), ""
        if target.heals and found != sound[target.name]:
            kind, said = "wrong", "other rows than before"
    except RegraftError as error:
        kind, said = "refused", str(error)
        if "\n" in said or len(said) > 2000:
            kind = "wrong"
    except Exception as error:  # noqa: BLE001 - that is what is looked for
        kind, said = "wrong", "".join(traceback.format_exception(error)[-3:])
    used_mb, took_s = peak_mb() - before_mb, time.perf_counter() - start
    if used_mb > MOST_MEMORY_MB or took_s > MOST_SECONDS:
        kind, said = "wrong", f"{used_mb:.0f} MB more, {took_s:.0f} s; {said}"
    return Outcome(target.name, seed, kind, said)


def peak_mb() -> float:
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def run(count: int, seed: int, only: str = "", tell: Callable[[Outcome], None] = lambda outcome: None) -> list[Outcome]:
    """Try `count` damaged files, of all kinds (or those whose name has `only` in it) in turn."""
    with tempfile.TemporaryDirectory() as made, variable_kept("REGRAFT_CACHE"), variable_kept("REGRAFT_HOME"):
        place, sound, outcomes = Path(made), dict[str, Any](), list[Outcome]()
        kinds = [target for target in targets(place) if only in target.name]
        for number in range(count):
            outcomes.append(try_one(kinds[number % len(kinds)], seed + number, sound, place))
            tell(outcomes[-1])
        return outcomes


@contextmanager
def variable_kept(name: str) -> Any:
    before = os.environ.get(name)
    try:
        yield
    finally:
        os.environ.pop(name, None)
        os.environ.update({} if before is None else {name: before})


def table(outcomes: Iterable[Outcome]) -> str:
    """Return the outcomes as a table in Markdown."""
    kinds = ("refused", "read", "healed", "wrong")
    found = Counter((outcome.target, outcome.kind) for outcome in outcomes)
    names = list(dict.fromkeys(target for target, _ in found))
    lines = ["| file | tried | refused | read | healed | wrong |", "|---|---|---|---|---|---|"]
    for name in [*names, ""]:
        cells = [sum(found[of, kind] for of in ([name] if name else names)) for kind in kinds]
        lines.append(f"| {name or 'all'} | {sum(cells)} | {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="part of a kind's name, as it stands in the table")
    parser.add_argument("--all", action="store_true", help="tell of every file, not only of what went wrong")
    given = parser.parse_args()

    def tell(outcome: Outcome) -> None:
        if given.all:
            print(f"{outcome.target}, seed {outcome.seed}: {outcome.kind} {outcome.said[:500]}", file=sys.stderr)
        elif outcome.kind == "wrong":
            print(f"--- {outcome.target}, seed {outcome.seed}: {outcome.said[-1500:]}", file=sys.stderr, flush=True)

    outcomes = run(given.count, given.seed, given.only, tell)
    print(table(outcomes))
    raise SystemExit(any(outcome.kind == "wrong" for outcome in outcomes))


if __name__ == "__main__":
    main()
