"""Numbers about the server, in Prometheus' text form."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20)
SIZES = (1, 2, 4, 8, 16, 32)


name = "mnist_lstm_{}".format
"""Puts the program's name before that of a number."""


class Metrics:
    """Counts requests, errors, times, batches, and what waits now."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        labels = ("path",)
        self._requests = Counter(
            name("requests"), "Requests that were answered.", (*labels, "status"), registry=self.registry
        )
        self._errors = Counter(name("errors"), "Those answered with 4xx or 5xx.", labels, registry=self.registry)
        self._seconds = Histogram(
            name("request_seconds"),
            "Time from the head of a request to the end of its answer.",
            labels,
            registry=self.registry,
            buckets=SECONDS,
        )
        self._batches = Histogram(
            name("batch_size"),
            "Pictures in MNIST's form that went through the network together.",
            registry=self.registry,
            buckets=SIZES,
        )

    def watch(self, what: str, text: str, value: Callable[[], float]) -> None:
        """Show a value as it is when it is asked for."""
        Gauge(name(what), text, registry=self.registry).set_function(value)

    def request(self, path: str, status: int, seconds: float) -> None:
        """Count a request; ``path`` is that of the route, so that there are few of them."""
        self._requests.labels(path, str(status)).inc()
        self._seconds.labels(path).observe(seconds)
        if status >= 400:
            self._errors.labels(path).inc()

    def batch(self, size: int) -> None:
        """Count a batch."""
        self._batches.observe(size)

    def text(self) -> bytes:
        """Return all of it."""
        return generate_latest(self.registry)
