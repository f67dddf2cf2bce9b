"""Pictures, any number of them -> a file of predictions: in constant memory, in pieces, so that a stopped one goes on.

What is done so far lies beside the file that is wanted, in ``FILE.<question>.part``: the list of the pictures, and
pieces of rows, each of which appears whole. The question is what the answers depend on, and which pictures were named:
where it is asked again, the rest is predicted. When all pieces are there the file is written of them, and they go.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from regraft.activations.sources import BATCH
from regraft.data import Pictures, each_listed, named_by, read_listing, write_listing
from regraft.errors import ConfigError, RunError, reason_of
from regraft.inference.answering import Answering
from regraft.inference.results import Asked, PredictionRow, PredictionsFile
from regraft.utils import files, tables
from regraft.utils.progress import Pace, Progress

FORMAT = 1  # of the pieces
PIECE_S, PIECE = 5.0, 128 * BATCH
"""Seconds, and pictures, after which a piece is written: what a killed process loses."""
SURVEYED = 1000  # pictures that are looked at for what does not fit the model
LISTING, PIECES = "pictures.jsonl", "rows"


@dataclass(frozen=True)
class Target:
    """The file that is wanted, and what its rows say."""

    file: Path
    form: str
    asked: Asked
    about: dict[str, Any] = field(default_factory=dict)  # what JSON says beside the rows

    def part(self, question: Any) -> Path:
        """Return the folder of what is done so far."""
        key = hashlib.sha256(json.dumps([FORMAT, question], sort_keys=True, default=str).encode()).hexdigest()[:8]
        return self.file.with_name(f"{self.file.name}.{key}.part")


@dataclass(frozen=True)
class Computing:
    """What computes the predictions."""

    device: str
    engine: str
    overrides: dict[str, Any]  # as in `Preprocessing.showing`


def predict_into(
    target: Target, pictures: Pictures, model: Answering, computing: Computing, progress: Progress
) -> PredictionsFile:
    """Predict all pictures that are named into a file, or go on with it.

    Raises:
        NoImages: nothing that looks like a picture.
        ConfigError: what is in memory; or another process is at it.
        RunError: what was kept of an earlier one was changed.
        DataMissing, DataError: as `each_listed`.
    """
    given = list(pictures) if isinstance(pictures, Iterator) else pictures
    question = [model.identity, model.preprocessing.as_dict(), vars(target.asked), named_by(given), vars(computing)]
    part = target.part([*question, asdict(model.tta)])
    if target.file.exists():
        progress.warn(f"{target.file} is there already: it is replaced when the new one is whole.")
    with _work(part, target.file) as rows:
        count = _listed(part / LISTING, given, progress)
        with _told(rows, count):
            _predict(rows, count, target.asked, _Opened(model, computing, progress))
        found = _written(target, rows, count, progress)
        files.remove_folder(part)
    return found


@contextlib.contextmanager
def _work(part: Path, file: Path) -> Iterator[Path]:
    """Yield the folder of the pieces, for this process alone; where nothing was done, nothing is left."""
    rows = part / PIECES
    rows.mkdir(parents=True, exist_ok=True)
    with files.held(part) as free:
        if not free:
            raise ConfigError(f"Another process is writing {file}. Wait for it, or name another file.")
        files.sweep(part, below=True)
        try:
            yield rows
        finally:
            if rows.is_dir() and not any(rows.iterdir()):
                files.remove_folder(part)


def _listed(listing: Path, pictures: Pictures, progress: Progress) -> int:
    """Write the list of the pictures, if it is not there from before; return how many there are."""
    if not listing.exists():
        progress.note("Listing the pictures.")
        with files.whole(listing) as temporary, temporary.open("w", encoding="utf-8") as file:
            write_listing(file, each_listed(pictures, progress))
    return _lines(listing)


def _lines(path: Path) -> int:
    with path.open("rb") as file:
        return sum(1 for _ in file)


@contextlib.contextmanager
def _told(rows: Path, count: int) -> Iterator[None]:
    """Let Ctrl-C say what is kept."""
    try:
        yield
    except KeyboardInterrupt as stop:
        if done := _done(rows):
            stop.args = (
                f"{done} of {count} pictures are predicted and kept in {rows.parent}; the same command goes on from "
                "there.",
            )
        raise


# ---- pieces ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Opened:
    """What predicts, and who hears of it."""

    model: Answering
    computing: Computing
    progress: Progress

    def answers(self, asked: Asked, listing: Path, done: int, count: int) -> Iterator[list[PredictionRow]]:
        """Open the network, and return the rows of each picture from that one on."""
        step = max(1, count // SURVEYED)
        if step > 1:
            self.progress.note(f"What does not fit the model is looked for in {SURVEYED} of {count} pictures.")
        some = [one.path for one in itertools.islice(read_listing(listing), 0, None, step)]
        model = self.model.seeing(some, self.progress, **self.computing.overrides)
        run = model.engine(self.computing.device, self.computing.engine, count * model.tta.views, self.progress)
        named, read = itertools.tee(read_listing(listing, done))  # what is between them is what is read ahead
        answers = model.answered((one.path for one in read), run)
        return (asked.rows(one.name, answer, model) for one, answer in zip(named, answers, strict=True))


def _done(rows: Path) -> int:
    """Return how many pictures are predicted: a piece is called by the number of those before it."""
    last = max(rows.iterdir(), default=None)
    return 0 if last is None else int(last.name) + _lines(last)


def _predict(rows: Path, count: int, asked: Asked, opened: _Opened) -> None:
    """Write piece after piece until all pictures are predicted."""
    done = _done(rows)
    if done:
        opened.progress.note(f"Going on: {done} of {count} pictures are predicted already.")
    if done == count:
        return
    answers, pace = opened.answers(asked, rows.with_name(LISTING), done, count), Pace(count)
    with opened.progress.track("Predicting", count, "pictures") as tick:

        def step(advance: int) -> None:
            pace.step(advance)
            tick(advance, f"{pace.per_s:.0f}/s")

        step(done)
        while done < count:
            done += _write_piece(rows / f"{done:012}", answers, step)


def _write_piece(path: Path, answers: Iterator[list[PredictionRow]], step: Callable[[int], None]) -> int:
    """Write a line for each picture, in whole batches: so those behind a stop are the same as without one."""
    ends, count = time.monotonic() + PIECE_S, 0
    with files.whole(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        while count < PIECE and time.monotonic() < ends and (batch := list(itertools.islice(answers, BATCH))):
            file.writelines(f"{json.dumps(rows)}\n" for rows in batch)
            count += len(batch)
            step(len(batch))
    return count


# ---- the file -------------------------------------------------------------------------------------------------------


def _written(target: Target, rows: Path, count: int, progress: Progress) -> PredictionsFile:
    """Make the file of the pieces."""
    tally = Counter[str]()

    def counted() -> Iterator[PredictionRow]:
        for row in _read(rows):
            if row["label"] is None:
                tally["unreadable" if row["error"] else "unsure"] += 1
            yield row

    progress.note(f"Writing {target.file}.")
    with files.whole(target.file) as temporary, temporary.open("wb") as file:
        tables.write_to(file, target.form, counted(), target.about)
    return PredictionsFile(target.file, count, tally["unreadable"], tally["unsure"])


def _read(rows: Path) -> Iterator[PredictionRow]:
    for piece in sorted(rows.iterdir()):
        try:
            with piece.open(encoding="utf-8") as file:
                for line in file:
                    yield from json.loads(line)
        except ValueError as error:
            raise RunError(
                f"{piece} is damaged ({reason_of(error)}). Remove {rows.parent}, and give the command again."
            ) from error
