"""Let SIGTERM and SIGHUP end a command as Ctrl-C does: what was learned is kept, and the run can go on."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType

ALSO = ("SIGTERM", "SIGHUP")  # of a batch system or service manager that ends a job; of a terminal that is closed
AT_ONCE_S = 1.0  # a closed terminal sends the signal twice, and a second one would end what the first has begun

_last = signal.SIGINT


@contextlib.contextmanager
def like_ctrl_c() -> Iterator[None]:
    """Raise KeyboardInterrupt on these signals too, as long as the block runs; not where the caller ignores them.

    That is `nohup`'s way to let a command outlive its terminal. In Python code that uses Regraft, signals stay what its
    author made of them.
    """
    global _last
    _last = signal.SIGINT
    if threading.current_thread() is not threading.main_thread():  # only there can handlers be set
        yield
        return
    numbers = [getattr(signal, name) for name in ALSO if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in numbers}
    stop = _Stopper()
    for number in numbers:
        if before[number] is signal.SIG_DFL:
            signal.signal(number, stop)
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, before[number])


def status() -> int:
    """Return the exit status of a command that was stopped, as shells count: 130 Ctrl-C, 143 SIGTERM, 129 SIGHUP."""
    # what has passed through code that a library compiles at run time (every dataclass is such) is noted as uncaught by
    # CPython, which would then end the process as by Ctrl-C, whatever its status; running any such code takes that back
    exec("")
    return 128 + _last


class _Stopper:
    def __init__(self) -> None:
        self.at_s = -AT_ONCE_S

    def __call__(self, number: int, frame: FrameType | None) -> None:
        global _last
        if time.monotonic() - self.at_s < AT_ONCE_S:
            return
        self.at_s, _last = time.monotonic(), signal.Signals(number)
        raise KeyboardInterrupt
