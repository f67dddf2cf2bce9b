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


@dataclass(frozen=True)
class Costs:
    """What keeping and computing again would cost at one cut."""

    row_bytes: int  # of one kept row
    rows: int  # that would be kept: the plain view of every picture, and the other views of those trained on
    missing: int  # rows that are not on disk yet: the others are neither computed again nor need more room
    pictures: int  # all pictures
    passes: int  # pictures gone through in training, over all epochs
    seconds_per_picture: float | None
    """Measured: decode and run the frozen part once. None where keeping wins anyway: pooled rows are a few kB, cheaper
    to read than any network to run, and a few missing rows cost less than measuring."""

    @property
    def missing_bytes(self) -> int:
        """The bytes of the missing rows."""
        return self.missing * self.row_bytes

    @property
    def size(self) -> str:
        """All rows, for a reader."""
        return f"{human(self.rows * self.row_bytes)} for {self.rows} rows of {human(self.row_bytes)}"


def decide(requested: str, costs: Costs, room: int) -> Decision:
    """Compare the costs of both ways.

    Args:
        requested: ``auto`` compares; ``always`` and ``never`` are the user's own decision.
        costs: of either way.
        room: bytes that the cache limit and the free disk leave for more rows.
    """
    if requested != "auto":
        said = "kept" if requested == "always" else "computed again in every epoch"
        return Decision(requested == "always", f"{said}, as asked ({costs.size})")
    if costs.missing_bytes > room:
        kept = costs.missing < costs.rows
        more = f", {human(costs.missing_bytes)} more than are kept already" if kept else ""
        both = f"keeping would take {costs.size}{more}, and {human(max(room, 0))} are free for it"
        return Decision(False, f"computed again in every epoch: {both}")
    if not costs.missing:
        return Decision(True, f"kept already: {costs.size}")
    if costs.seconds_per_picture is None:
        return Decision(True, f"kept: {costs.size}")
    keeping_s = costs.missing * costs.seconds_per_picture + costs.passes * costs.row_bytes / READ_BYTES_PER_S
    again_s = (costs.pictures + costs.passes) * costs.seconds_per_picture
    both = f"about {keeping_s:.0f} s with keeping, {again_s:.0f} s without"
    if keeping_s < again_s:
        return Decision(True, f"kept: {costs.size}; {both}")
    return Decision(False, f"computed again in every epoch: {both}")


def human(size: float) -> str:
    """Return a number of bytes for a reader: ``1.2 GB``, ``14 MB``, ``2.6 kB``."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= factor:
            return f"{size / factor:.3g} {unit}"
    return f"{size:.0f} bytes"
