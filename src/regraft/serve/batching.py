"""Pictures of many clients -> batches: whatever waits is run together as soon as the batch before is done."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from typing import NamedTuple

from regraft.inference.answering import Prediction

Answer = Callable[[Sequence[bytes]], Iterator[Prediction]]


class Full(Exception):
    """As many pictures wait as may."""


class _Job(NamedTuple):
    content: bytes
    future: Future[Prediction]


class Batcher:
    """A queue, and the thread that empties it; pictures are handed in from one thread alone, the event loop's."""

    def __init__(
        self, answer: Answer, *, most: int, at_once: int, heard: Callable[[int], None] = lambda size: None
    ) -> None:
        self._answer, self._most, self._at_once, self._heard = answer, most, at_once, heard
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="batches", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """How many pictures wait."""
        return self._jobs.qsize()

    @property
    def full(self) -> bool:
        """Whether no more picture finds a place."""
        return self.waiting >= self._most

    @property
    def alive(self) -> bool:
        """Whether there is somebody who answers."""
        return self._thread.is_alive()

    def submit(self, contents: Sequence[bytes]) -> list[Future[Prediction]]:
        """Let pictures wait for their predictions; who cancels one's future has it left out.

        Raises:
            Full: not all of them find a place.
        """
        if self.waiting + len(contents) > self._most:
            raise Full
        jobs = [_Job(content, Future()) for content in contents]
        for job in jobs:
            self._jobs.put(job)
        return [job.future for job in jobs]

    def close(self) -> None:
        """Answer what waits, and end the thread."""
        self._jobs.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (first := self._jobs.get()) is not None:
            batch = [first, *self._also()]
            self._run([job for job in batch if job.future.set_running_or_notify_cancel()])

    def _also(self) -> Iterator[_Job]:
        """Yield what waits beside a first picture, for nobody; the end of all stays where it is."""
        for _ in range(self._at_once - 1):
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                return
            if job is None:
                self._jobs.put(None)
                return
            yield job

    def _run(self, jobs: Sequence[_Job]) -> None:
        if not jobs:
            return
        self._heard(len(jobs))
        try:
            found = list(self._answer([job.content for job in jobs]))
        except Exception as error:  # noqa: BLE001 - whoever asked hears of it; the next batch is run
            for job in jobs:
                job.future.set_exception(error)
            return
        for job, prediction in zip(jobs, found, strict=True):
            job.future.set_result(prediction)
