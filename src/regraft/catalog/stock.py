"""Networks -> files of weights: which are on this machine and where, and where the others come from; loads no torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from regraft import catalog
from regraft.catalog import Row
from regraft.weights import locations, sources


def weights(pattern: str | None = None) -> list[Row]:
    """Return the files of weights that are on this machine, network by network, the one that is used before the others.

    Args:
        pattern: Part of a network's name or a pattern such as ``resnet*``. Then networks without weights here have
            rows too: one for each source.

    A row holds: name and family of the network; source; here, whether it is on this machine; mb, of the file, or of the
    tensors in float32 where there is no file yet (of 2^20 bytes); licence of the weights; file, or None; get, the
    command by which weights that are not here come here. Where nobody publishes weights, source and get are None.

    Raises:
        UnknownName: no network has such a name.
        WeightsMissing: REGRAFT_WEIGHTS names no folder.
    """
    table = catalog.read()
    networks = [*table, *_others({row["name"] for row in table})]
    if pattern is None:
        return [row for network in networks for row in _here(network)]
    return [
        row for network in catalog.matching(pattern, networks) for row in list(_here(network)) or _elsewhere(network)
    ]


def _others(table: set[str]) -> list[Row]:
    """Networks that are not in the table but have imported weights."""
    blank: Row = {
        "family": "",
        "aliases": [],
        "library": "",
        "sources": [],
        "size_mb": None,
        "licence": "",
        "file": "",
        "hub": "",
    }
    found = sorted(path.stem for path in locations.imports().glob("*.safetensors"))
    return [blank | {"name": name} for name in found if name not in table]


def _here(network: Row) -> Iterator[Row]:
    for source, path in catalog.files_here(network).items():
        yield _row(network, source) | {
            "here": True,
            "mb": round(path.stat().st_size / 2**20, 1),
            "file": str(path),
            "licence": sources.source(source).licence(network),
            "get": None,
        }


def _elsewhere(network: Row) -> Iterator[Row]:
    for source in network["sources"] or [None]:
        yield _row(network, source)


def _row(network: Row, source: str | None) -> Row:
    of = sources.source(source) if source else None
    published = of is not None and of.publishes(network["name"], network["library"])
    return {
        "name": network["name"],
        "family": network["family"],
        "source": source,
        "here": False,
        "mb": network["size_mb"],
        "licence": of.licence(network) if of and published else network["licence"],
        "file": None,
        "get": of.get(network) if of else None,
    }


def as_text(rows: Sequence[Row]) -> str:
    """Return a line for each row; a path is never cut or broken."""
    here = [row for row in rows if row["here"]]
    counted = f"{len(here)} file{'s' * (len(here) != 1)} of weights on this machine"
    cells = [
        (
            row["name"],
            row["source"] or "–",
            f"{row['mb']:4.0f} MB",
            row["licence"].partition(" ")[0] or "–",
            row["file"] or f"not here: {row['get'] or 'no weights are published'}",
        )
        for row in rows
    ]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)][:-1]
    lines = ["   ".join([*map(str.ljust, line, widths), line[-1]]) for line in cells]
    return "\n".join([f"{counted}, {sum(row['mb'] for row in here):.0f} MB", *([""] if lines else []), *lines])
