"""Decide whether the frozen part's outputs are kept on disk or computed again in every epoch, and say why."""

from __future__ import annotations

from dataclasses import dataclass

READ_BYTES_PER_S = 200e6
"""How fast kept rows come back when they are not in memory any more: a slow SSD, on the careful side."""


@dataclass(frozen=True)
class Decision:
    """Keep, or compute again; and the sentence that the user reads."""

    keep: bool
    reason: str


def decide(
    *,
    wish: str,
    row_bytes: int,
    kept: int,
    pictures: int,
    trained: int,
    views: int,
    epochs: int,
    seconds_per_picture: float | None,
    room: int,
) -> Decision:
    """Compare the costs of both ways.

    Args:
        wish: ``auto`` compares; ``always`` and ``never`` are the user's own decision.
        row_bytes: bytes of one kept row.
        kept: rows that are on disk already; they are neither computed again nor need more room.
        pictures: all pictures; each has its plain view kept.
        trained: the training pictures among them; each has `views` views kept.
        views: stored views per training picture, the plain one among them.
        epochs: passes over the training pictures.
        seconds_per_picture: measured: decode and run the frozen part once. None where keeping wins anyway: pooled rows
            are a few kB, cheaper to read than any network to run, and a few missing rows cost less than measuring.
        room: bytes that the cache limit and the free disk leave for more rows.
    """
    rows = pictures + trained * (views - 1)
    missing = rows - kept
    needed = missing * row_bytes
    size = f"{human(rows * row_bytes)} for {rows} rows of {human(row_bytes)}"
    if wish != "auto":
        return Decision(
            wish == "always", f"{'kept' if wish == 'always' else 'computed again in every epoch'}, as asked ({size})"
        )
    if needed > room:
        more = f", {human(needed)} more than are kept already" if kept else ""
        both = f"keeping would take {size}{more}, and {human(max(room, 0))} are free for it"
        return Decision(False, f"computed again in every epoch: {both}")
    if not missing:
        return Decision(True, f"kept already: {size}")
    if seconds_per_picture is None:
        return Decision(True, f"kept: {size}")
    keeping_s = missing * seconds_per_picture + epochs * trained * row_bytes / READ_BYTES_PER_S
    again_s = (pictures + epochs * trained) * seconds_per_picture
    costs = f"about {keeping_s:.0f} s with keeping, {again_s:.0f} s without"
    if keeping_s < again_s:
        return Decision(True, f"kept: {size}; {costs}")
    return Decision(False, f"computed again in every epoch: {costs}")


def human(size: float) -> str:
    """Return a number of bytes for a reader: ``1.2 GB``, ``14 MB``, ``2.6 kB``."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= factor:
            return f"{size / factor:.3g} {unit}"
    return f"{size:.0f} bytes"
