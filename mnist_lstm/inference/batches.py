"""Classify a stream of pictures in batches, in their order."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from mnist_lstm.inference.classifier import FEW, Classifier, Prediction
from mnist_lstm.inference.picture import Writing
from mnist_lstm.inference.prepare import BATCH_SIZE, OPEN, prepare
from mnist_lstm.inference.sources import Source

MAX_WAIT_S = 0.5  # an incomplete batch is then classified, so that answers appear while pictures are still being read

Batch = list[tuple[Source, Writing | None]]
"""Pictures, each with the result of `prepare`, or None if it cannot be read."""


def classify_batches(
    classifier: Classifier, sources: Iterator[Source], *, split: bool, stages: bool, read_ahead: bool
) -> Iterator[list[tuple[Source, Prediction]]]:
    """Classify pictures; yield them batch by batch with their predictions.

    Args:
        classifier: what reads them.
        sources: the pictures, and those that cannot be read.
        split: as in `Classifier.predict`.
        stages: as in `Classifier.predict`; the pictures of a batch then stay in memory, and batches are smaller.
        read_ahead: read in a thread while the network computes. Ctrl+C waits for that thread, which may be blocked on
            standard input.
    """
    batches = _batches(sources, FEW if stages else BATCH_SIZE)
    backend = classifier.backend
    threads = backend.threads
    backend.threads = 1
    number = 0
    try:
        for batch in _one_ahead(batches) if read_ahead else batches:
            number += len(batch)
            if number > FEW:
                backend.threads = threads
            found = [found for _, found in batch if found is not None]
            answers = iter(classifier.predict(found, split=split, stages=stages))
            yield [
                (source, Prediction(None, None, None, "error", source.message) if found is None else next(answers))
                for source, found in batch
            ]
    finally:
        backend.threads = threads


def _batches(sources: Iterator[Source], size: int) -> Iterator[Batch]:
    """Yield a batch when it is full or `MAX_WAIT_S` has passed."""
    batch: Batch = []
    opened = 0
    due = time.monotonic() + MAX_WAIT_S
    for source in sources:
        found = None if source.levels is None else prepare(source.levels)
        batch.append((source, found))
        opened += found is not None and found.others is not None
        if len(batch) == size or opened == OPEN or time.monotonic() > due:
            yield batch
            batch, opened = [], 0
            due = time.monotonic() + MAX_WAIT_S
    if batch:
        yield batch


def _one_ahead(batches: Iterator[Batch]) -> Iterator[Batch]:
    """Read the next batch in a thread while the network processes the current one."""
    with ThreadPoolExecutor(1) as reader:
        coming = reader.submit(next, batches, None)
        while (batch := coming.result()) is not None:
            coming = reader.submit(next, batches, None)
            yield batch
