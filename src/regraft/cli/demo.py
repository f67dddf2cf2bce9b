"""Show the main job offline: draw synthetic cells, train on them, predict held-out ones."""

from __future__ import annotations

from pathlib import Path

from regraft import run_folder
from regraft.data import draw_cells
from regraft.experiments.run import Run
from regraft.experiments.train import train
from regraft.inference import predict
from regraft.inference.results import Predictions
from regraft.utils import files
from regraft.utils.progress import Progress

GROUPS = r"^P\d+"  # the drawn file names begin with a made-up patient
PATIENTS, TEST = 80, 0.5  # so 40 are tested: of fewer, or with fewer mistakes, the intervals would be wide or missing


def demo(
    out: Path, *, difficulty: float, per_class: int, seed: int, progress: Progress | None = None
) -> tuple[Run, Predictions]:
    """Return the run, and the predictions for four pictures that it held out.

    The pictures are drawn anew only where a folder with the same settings is not there yet.
    """
    progress = progress or Progress()
    run_folder.new_folder(out / "run")  # a place that cannot be written to is said now
    cells = out / f"cells-{per_class}-{PATIENTS}-{difficulty:g}-{seed}"
    if not cells.exists():
        progress.note(
            f"Drawing {2 * per_class} synthetic stained cells into {cells}. They only look like a blood smear."
        )
        cells.parent.mkdir(parents=True, exist_ok=True)
        draw_cells(cells, per_class=per_class, patients=PATIENTS, difficulty=difficulty, seed=seed)
    run = train(cells, out=out / "run", groups=GROUPS, test=TEST, seed=seed, progress=progress)
    split = files.read_csv(run.folder / "split.csv")
    held_out = [cells / row["filename"] for row in split if row["split"] == "test"]
    return run, predict.predict(run.folder, held_out[:: max(1, len(held_out) // 4)][:4], progress=False)
