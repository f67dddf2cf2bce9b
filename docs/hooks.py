"""Pages of the site that are written elsewhere: told once, shown there as well. MkDocs calls `on_…`."""

from __future__ import annotations

import posixpath
import re
import subprocess
import sys
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from nbconvert import MarkdownExporter

import regraft

ROOT = Path(__file__).parent.parent
COPIED = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "benchmarks/README.md": "benchmarks.md"}
"""File of the project -> page of the site."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages to those that lie in docs/."""
    pages = {page: copied(source) for source, page in COPIED.items()} | {"python.md": python(), "cli.md": cli()}
    for page, text in pages.items():
        files.append(File.generated(config, page, content=text))
    for notebook in sorted((ROOT / "docs").glob("notebooks/*.ipynb")):
        for page, content in rendered(notebook).items():
            files.append(File.generated(config, page, content=content))
    return files


def on_page_markdown(text: str, page: Page, **_: object) -> str:
    """Let links between the project's files, as they work where it is browsed, lead to the site's pages."""
    return text if "/" in page.file.src_uri else linked(text, "docs")


def copied(source: str) -> str:
    """Return a page of the project with its links turned to the site's pages."""
    return linked((ROOT / source).read_text(encoding="utf-8"), posixpath.dirname(source))


def linked(text: str, folder: str) -> str:
    """Return a page that lies in a folder of the project with its links turned to the site's pages."""

    def turned(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(folder, link[1])).replace(".ipynb", ".md")
        return f"]({COPIED.get(target, target.removeprefix('docs/'))}{link[2]})"

    return re.sub(r"\]\(([\w./-]+\.(?:md|ipynb))(#[\w-]+|)\)", turned, text)


def rendered(notebook: Path) -> dict[str, str | bytes]:
    """Return a notebook as a page, with what it has given when it was run, and the pictures on that page."""
    text, resources = MarkdownExporter().from_filename(str(notebook))
    source = f"*This page is [a notebook]({notebook.name}).*\n\n"
    pictures = {f"notebooks/{name}": content for name, content in resources["outputs"].items()}
    return {f"notebooks/{notebook.stem}.md": f"{text}\n{source}", **pictures}


def python() -> str:
    """Return a page that shows the docstring of every public name."""
    names = [name for name in regraft.__all__ if not name.startswith("_")]
    return "\n".join(["# Python", "", PYTHON, *(f"\n::: regraft.{name}{OPTIONS.get(name, '')}" for name in names)])


PYTHON = """\
`import regraft` alone loads nothing heavy; each name comes when it is first used. Functions have the names and
the arguments of the commands; keywords that are passed on as `**settings` are the fields of [`Config`](settings.md)."""

OPTIONS = {"Config": "\n    options: {show_signature: false, members: false}"}  # settings.md tells each field


def cli() -> str:
    """Return what `--help` says of every command."""
    typer = [sys.executable, "-m", "typer", "regraft.cli.commands", "utils", "docs", "--name", "regraft"]
    said = subprocess.run(typer, capture_output=True, text=True, check=True, encoding="utf-8").stdout
    return said.replace("# `regraft`", "# Command line", 1)
