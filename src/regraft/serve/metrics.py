"""Count what the service does, as Prometheus reads it."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from regraft.serve.hosted import Hosted

SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
SIZES = (1, 2, 4, 8, 16, 32)


class Metrics:
    """The figures of one service."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "regraft_requests", "Requests that were answered", ["path", "status"], registry=self._registry
        )
        self._seconds = Histogram(
            "regraft_request_seconds",
            "From a request's head to the end of its answer",
            ["path"],
            buckets=SECONDS,
            registry=self._registry,
        )
        self._batches = Histogram(
            "regraft_batch_pictures",
            "Pictures that were run together",
            ["model"],
            buckets=SIZES,
            registry=self._registry,
        )
        self._pictures = Counter(
            "regraft_pictures", "Pictures, by what was said of them", ["model", "outcome"], registry=self._registry
        )
        ProcessCollector(registry=self._registry)

    def answered(self, path: str, status: int, seconds: float) -> None:
        """Count a request."""
        self._requests.labels(path, str(status)).inc()
        self._seconds.labels(path).observe(seconds)

    def batch(self, model: str, size: int) -> None:
        """Count pictures that were run together."""
        self._batches.labels(model).observe(size)

    def picture(self, model: str, outcome: str) -> None:
        """Count a picture: predicted, abstained or unreadable."""
        self._pictures.labels(model, outcome).inc()

    def watch(self, hosted: Mapping[str, Hosted]) -> None:
        """Show how many pictures wait for each model."""
        self._registry.register(_Waiting(hosted))

    def text(self) -> bytes:
        """Return all figures in Prometheus' text format."""
        return generate_latest(self._registry)


class _Waiting(Collector):
    def __init__(self, hosted: Mapping[str, Hosted]) -> None:
        self._hosted = hosted

    def collect(self) -> list[GaugeMetricFamily]:
        found = GaugeMetricFamily("regraft_waiting_pictures", "Pictures in the queue", labels=["model"])
        for name, one in self._hosted.items():
            found.add_metric([name], one.batches.waiting)
        return [found]
