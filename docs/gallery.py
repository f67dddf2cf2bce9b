"""Make the pages of docs/gallery anew from real runs on drawn cells: a few minutes, when a page has changed its face.

python docs/gallery.py        # the comparison holds the networks whose weights are on this machine
"""

from __future__ import annotations

import os
from pathlib import Path
from shutil import copyfile
from tempfile import TemporaryDirectory

from PIL import Image

import regraft
from regraft.data import draw_cells

GALLERY = Path(__file__).parent / "gallery"
GROUPS = r"^P\d+"
LARGEST_KB = 300


def main() -> None:
    """Write run.html, check.html and comparison.html."""
    with TemporaryDirectory() as made:
        folder = Path(made).resolve()
        os.chdir(folder)
        cells = draw_cells(Path("cells"), per_class=150, patients=80, difficulty=1.0)
        run = regraft.train(cells, groups=GROUPS, test=0.5)
        found = regraft.compare(
            cells, methods=["frozen", "features"], groups=GROUPS, test=0.5, img_size=128, control_epochs=0
        )
        spoil(cells)
        checked = regraft.check(cells, groups=GROUPS)
        keep(run.folder / "report.html", "run.html", folder)
        keep(found.folder / "comparison.html", "comparison.html", folder)
        keep(checked.folder / "check.html", "check.html", folder)


def spoil(cells: Path) -> None:
    """Plant what a check is to find: a damaged file, a copy under another label, a turned copy, wrong labels."""
    healthy, infected = sorted((cells / "healthy").iterdir()), sorted((cells / "infected").iterdir())
    healthy[0].write_bytes(healthy[0].read_bytes()[:2000])
    copyfile(healthy[1], cells / "infected" / healthy[1].name)
    Image.open(infected[2]).rotate(90).save(cells / "infected" / f"P90_{infected[2].name}")
    for picture in infected[3:100:30]:
        picture.rename(cells / "healthy" / picture.name)


def keep(page: Path, name: str, folder: Path) -> None:
    """Copy a page without the name of the folder that it was made in."""
    text = page.read_text(encoding="utf-8").replace(f"{folder}/", "").replace(str(folder), ".")
    if len(text.encode()) > LARGEST_KB * 1000:
        raise SystemExit(f"{name} has {len(text.encode()) // 1000} kB, more than {LARGEST_KB}. Use fewer pictures.")
    GALLERY.mkdir(exist_ok=True)
    (GALLERY / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
