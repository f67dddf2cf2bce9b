"""Write docs/settings.md from the code; with --check, say whether it is current."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path
from typing import get_type_hints

from regraft.config import Config, option

PAGE = Path(__file__).parent / "settings.md"


def settings_page() -> str:
    """Return the table of every setting, by group."""
    hints = get_type_hints(Config)
    lines = [
        "# Settings",
        "",
        "Made from `src/regraft/config.py` by `make docs`. Each setting is an option of `regraft train` and a",
        'keyword of `regraft.train`. "–" as a default means: what the method or the weights suggest.',
    ]
    group = ""
    for spec in dataclasses.fields(Config):
        if spec.metadata["group"] != group:
            group = spec.metadata["group"]
            lines += [
                "",
                f"## {group}",
                "",
                "| option | keyword | kind | default | what it does |",
                "|---|---|---|---|---|",
            ]
        kinds = getattr(hints[spec.name], "__args__", (hints[spec.name],))  # int, or int | None
        kind = next(kind.__name__ for kind in kinds if kind is not type(None))
        default = "–" if spec.default is None else f"`{spec.default}`"
        lines.append(f"| `{option(spec.name)}` | `{spec.name}` | {kind} | {default} | {spec.metadata['help']} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write the page, or compare it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 when the page is not current")
    if not parser.parse_args().check:
        PAGE.write_text(settings_page(), encoding="utf-8")
    elif not PAGE.exists() or PAGE.read_text(encoding="utf-8") != settings_page():
        sys.exit(f"{PAGE.name} is not what the code says. Run: make docs")


if __name__ == "__main__":
    main()
