"""Check a data set before anything is trained on it: one pass of a network, an audit, a page and a table.

The pass is kept: a training with the same network afterwards starts from it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from regraft import methods, run_folder
from regraft.audit.groups import Proposal
from regraft.audit.judging import FINDINGS, Audit, Remark, audit_of, map_of, reduced, write_remarks
from regraft.audit.kinds import KINDS, check_kinds
from regraft.audit.looking import look_at
from regraft.config import Config, command, from_folder, refuse_idle
from regraft.data import Manifest, split_from
from regraft.errors import ConfigError, NoImages
from regraft.experiments.session import Session, load_network
from regraft.reports import check_page
from regraft.reports.check_page import Shown
from regraft.utils import files, tables
from regraft.utils.progress import Bars, Progress

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True, eq=False, repr=False)
class Check:
    """An audit, the folder that holds its page and table, and the kinds of findings that were not to be there."""

    folder: Path
    audit: Audit
    failed_on: tuple[str, ...] = ()
    proposal: Proposal | None = None  # of groups that the user may have meant to give

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The findings as findings.csv has them: kind, filename, label, other, score, remark."""
        return [remark._asdict() for remark in self.audit.remarks]

    def __len__(self) -> int:
        """Return the number of rows; a set of copies has one for each pair."""
        return len(self.audit.remarks)

    def __bool__(self) -> bool:
        """Say that there is a check, also where it has found nothing."""
        return True

    def to_pandas(self) -> pandas.DataFrame:
        """Return the findings as a pandas table.

        Raises:
            MissingExtra: pandas is not installed.
        """
        return tables.to_pandas(self.rows, "Check.to_pandas", columns=list(Remark._fields))

    def __repr__(self) -> str:
        """Say what it is, without its findings."""
        return f"<Check: {sum(self.audit.counts().values())} findings, in {self.folder}>"

    def _repr_html_(self) -> str:
        found = [{"kind": KINDS[kind].several, "found": count} for kind, count in self.audit.counts().items()]
        return tables.as_html(found, title=f"{self.audit.summary()} The check: {self.folder}")

    def as_dict(self) -> dict[str, Any]:
        """Return what ``--json`` prints."""
        groups = self.proposal.as_dict() if self.proposal else None
        return {"folder": str(self.folder), **self.audit.as_dict(), "failed_on": list(self.failed_on), "groups": groups}


def check(
    data: Path | str,
    *,
    out: str | os.PathLike[str] | None = None,
    fail_on: str | Sequence[str] = (),
    progress: Progress | None = None,
    **settings: Any,
) -> Check:
    """Check a folder or table; see `regraft.experiments.api.check`."""
    unwanted, data, progress = check_kinds(fail_on), Path(data), progress or Progress()
    refuse_idle("check", settings)
    config = Config(**{"method": "features", "allow_bad": True, **settings})
    wanted = run_folder.wanted_folder(out, data, "checks")
    run_folder.new_folder(wanted)  # a place that cannot be written to is said now

    session = Session.open(data, config, settings, progress)
    if config.split_from:
        session.manifest = _in_parts(session.manifest, config.split_from)
    if "leak" in unwanted:
        _refuse_no_leak(session)
    audit, shown, proposal = _audited(session)
    folder = run_folder.claim(wanted, lambda made: write(audit, shown, made, proposal))
    counts = audit.counts()
    return Check(folder, audit, tuple(kind for kind in unwanted if counts[kind]), proposal)


def _audited(session: Session) -> tuple[Audit, Shown, Proposal | None]:
    """Run a network over the pictures and judge them by what it makes of them."""
    progress, config = session.progress, session.config
    loaded = load_network(config, named="backbone" in session.requested)
    plan = methods.plan(loaded.backbone, config)
    session.progress = Bars(progress)  # what would be said of unreadable files and their numbers is among the findings
    network = session.activate(loaded, [plan])
    session.progress = progress
    manifest = session.manifest
    if not len(manifest):
        name, reason = next(iter(sorted(session.skipped.items())))
        count = len(session.skipped)
        raise NoImages(f"None of the {count} pictures in {session.data} can be read; the first: {name}: {reason}.")
    preprocessing = network.backbone.preprocessing
    thumbnails = look_at(manifest, session.digests, preprocessing, progress)
    progress.note("Comparing the pictures with each other.")
    points = reduced(network.embeddings(plan.cut))
    audit = audit_of(manifest, session.digests, points, thumbnails, skipped=session.skipped, seed=config.seed)
    audit = replace(audit, notices=[*audit.notices, *session.seen.notices])
    return (
        audit,
        Shown(manifest, preprocessing, map_of(points, config.seed), config.corrections, _again(session)),
        session.proposed_groups(network, [plan]),
    )


def _again(session: Session) -> str:
    """Return the command that checks the same, with labels corrected on the page, from any folder."""
    given = {name: from_folder(Path.cwd(), name, value) for name, value in session.requested.items()}
    return command("check", session.data.absolute(), **{**given, "corrections": "corrections.csv"})


def _refuse_no_leak(session: Session) -> None:
    if session.manifest.groups is None and not any(item.part for item in session.manifest.items):
        raise ConfigError(
            f"--fail-on=leak needs parts or groups between which something can leak; {session.data} has neither. "
            "Give --split-from RUN or --groups, or use train and test folders."
        )


def write(audit: Audit, shown: Shown, folder: Path, proposal: Proposal | None) -> None:
    """Write check.html and findings.csv."""
    write_remarks(folder / FINDINGS, audit.remarks)
    page = check_page.check_page(audit, shown, proposal.notice if proposal else "")
    files.write_bytes(folder / "check.html", page.encode(errors="backslashreplace"))


def _in_parts(manifest: Manifest, source: Path) -> Manifest:
    """Give every picture its part. That a group lies in two parts is a finding here, and no error."""
    free = replace(manifest, items=tuple(replace(item, group=None) for item in manifest.items))
    parted = split_from(free, source)
    items = zip(manifest.items, parted.items, strict=True)
    return replace(parted, items=tuple(replace(item, part=other.part) for item, other in items))
