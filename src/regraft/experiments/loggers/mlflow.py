"""MLflow: ``mlflow/mlflow.db`` beside the runs, or what MLFLOW_TRACKING_URI names."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from regraft.experiments.loggers import Started, State

SERVER, EXPERIMENT = "MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME"
STATUS: Mapping[State, str] = {"finished": "FINISHED", "stopped": "KILLED", "failed": "FAILED"}


def packages() -> tuple[str, ...]:
    """Return what is imported: a store of one's own is a database."""
    return ("mlflow",) if os.environ.get(SERVER) else ("mlflow", "sqlalchemy", "alembic")


@dataclass
class _Log:
    client: Any
    key: str
    where: str

    def epoch(self, number: int, figures: Mapping[str, float]) -> None:
        self._log(figures, number)

    def end(self, figures: Mapping[str, float], pages: Sequence[Path]) -> None:
        self._log(figures, 0)
        for page in pages:
            self.client.log_artifact(self.key, str(page))

    def close(self, state: State) -> None:
        self.client.set_terminated(self.key, STATUS[state])

    def _log(self, figures: Mapping[str, float], step: int) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        self.client.log_batch(self.key, [Metric(name, value, now, step) for name, value in figures.items()])


def start(started: Started) -> _Log:
    """Begin a run, or go on in that of before."""
    from mlflow.tracking import MlflowClient

    own = started.beside / "mlflow"
    where = os.environ.get(SERVER) or f"sqlite:///{own / 'mlflow.db'}"
    if SERVER not in os.environ:
        own.mkdir(parents=True, exist_ok=True)
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)  # it tells of each table that it makes
    client = MlflowClient(tracking_uri=where)
    if started.earlier:
        client.update_run(started.earlier, "RUNNING")
        return _Log(client, started.earlier, where)
    tags = {"mlflow.parentRunId": started.within} if started.within else {}
    run = client.create_run(_experiment(client, own), run_name=started.name, tags=tags)
    for name, value in started.settings.items():
        client.log_param(run.info.run_id, name, value)
    return _Log(client, run.info.run_id, where)


def _experiment(client: Any, own: Path) -> str:
    """Return the id of the experiment that holds the runs."""
    name = os.environ.get(EXPERIMENT) or "regraft"
    found = client.get_experiment_by_name(name)
    artifacts = None if os.environ.get(SERVER) else (own / "artifacts").as_uri()
    return str(found.experiment_id if found else client.create_experiment(name, artifact_location=artifacts))
