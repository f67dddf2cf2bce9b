"""Check a data set before anything is trained on it: one pass of a network, an audit, a page and a table.

The pass is kept: a training with the same network afterwards starts from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from regraft import files, methods, runs
from regraft.audit import FINDINGS, KINDS, NAMES, Audit, audit_of, check_kinds, write_remarks
from regraft.config import OF_TRAINING, Config, refuse_idle
from regraft.data import Manifest, Preprocessing, read_looks, scan, split_from
from regraft.errors import ConfigError, NoImages
from regraft.grouping import Proposal
from regraft.pipeline import activate, begin, groups_of, look_over
from regraft.progress import Bars, Progress


@dataclass(frozen=True, eq=False)
class Checked:
    """An audit, the folder that holds its page and table, and the kinds of findings that were not to be there."""

    folder: Path
    audit: Audit
    failed_on: tuple[str, ...] = ()
    proposal: Proposal | None = None  # of groups that the user may have meant to give

    def as_dict(self) -> dict[str, Any]:
        """Return what ``--json`` prints."""
        groups = self.proposal.as_dict() if self.proposal else None
        return {"folder": str(self.folder), **self.audit.as_dict(), "failed_on": list(self.failed_on), "groups": groups}


def check(
    data: Path | str,
    *,
    out: Path | str | None = None,
    fail_on: Sequence[str] = (),
    progress: Progress | None = None,
    **settings: Any,
) -> Checked:
    """Look for what may mislead a training, or its figures, and write check.html and findings.csv.

    Args:
        data: as in `regraft.train`.
        out: the folder for the page and the table; ``checks/<name of data>`` by default, with -2 where that is taken.
        fail_on: kinds of findings; those that were found are in `Checked.failed_on`.
        progress: says what is going on; silent by default.
        settings: fields of `Config`, by name: backbone, weights, groups, split_from, img_size, seed, device …

    Raises:
        UnknownName: there is no such kind of finding.
        NoImages: no picture can be read.
        ConfigError: it is to fail on leaks, and the data have neither parts nor groups; or a setting of training.
    """
    unwanted = check_kinds(fail_on)
    progress = progress or Progress()
    refuse_idle("check", settings, dict.fromkeys(OF_TRAINING, "It trains nothing: leave it out, or give it to train."))
    config = Config(**{"method": "features", "allow_bad": True, **settings})
    data = Path(data)
    wanted = Path(out) if out else Path("checks") / (data.stem or "data")
    runs.new_folder(wanted, data)  # a place that cannot be written to is said now
    manifest = scan(data, **config.reading)
    manifest = manifest if config.split_from is None else _in_parts(manifest, config.split_from)
    if "leak" in unwanted and manifest.groups is None and not any(item.part for item in manifest.items):
        raise ConfigError(
            f"--fail-on leak needs parts or groups between which something can leak; {data} has neither. "
            "Give --split-from RUN or --groups, or use train and test folders."
        )
    start = begin(config, named="backbone" in settings)
    plan = methods.plan(start.backbone, config)
    quiet = Bars(progress)  # what would be said of unreadable files and of their numbers is among the findings
    seen = look_over(manifest, config, quiet)
    manifest, prefix, skipped = activate(manifest, start.backbone, [plan], config, quiet, seen=seen)
    if not len(manifest):
        name, reason = next(iter(sorted(skipped.items())))
        raise NoImages(f"None of the {len(skipped)} pictures in {data} can be read; the first: {name}: {reason}.")
    paths = [item.path for item in manifest.items]
    for notice in manifest.notices:
        progress.warn(notice)
    looks = read_looks(paths, prefix.pictures.preprocessing, progress=progress)
    progress.note("Comparing the pictures with each other.")
    embeddings = prefix.at(plan.cut).rows(range(len(manifest)), [0] * len(manifest))
    audit = audit_of(manifest, prefix.pictures.digests, embeddings, looks, skipped=skipped, seed=config.seed)
    audit = replace(audit, notices=[*audit.notices, *seen.notices])
    proposal = groups_of(manifest, prefix, [plan], config, progress)
    preprocessing = prefix.pictures.preprocessing
    folder = runs.claim(wanted, data, lambda made: write(audit, manifest, preprocessing, made, proposal))
    counts = audit.counts()
    return Checked(folder, audit, tuple(kind for kind in unwanted if counts[kind]), proposal)


def write(
    audit: Audit, manifest: Manifest, look: Preprocessing, folder: Path, proposal: Proposal | None = None
) -> None:
    """Write check.html and findings.csv."""
    from regraft.pages import check_page

    write_remarks(folder / FINDINGS, audit.remarks)
    page = check_page(audit, manifest, KINDS, NAMES, look, proposal.notice if proposal else "")
    files.write_bytes(folder / "check.html", page.encode(errors="backslashreplace"))


def _in_parts(manifest: Manifest, source: Path) -> Manifest:
    """Give every picture its part. That a group lies in two parts is a finding here, and no error."""
    free = replace(manifest, items=tuple(replace(item, group=None) for item in manifest.items))
    parted = split_from(free, source)
    items = zip(manifest.items, parted.items, strict=True)
    return replace(parted, items=tuple(replace(item, part=other.part) for item, other in items))
