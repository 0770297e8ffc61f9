"""`Reader`: pictures of many requests go through the network together.

A picture in MNIST's form takes the network a few milliseconds, and 32 of them little longer than one. Any other
picture takes a tenth of a second and more, most of it to find the digits, and must not hold up the small ones: it goes
to other threads.
"""

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from mnist_lstm.inference.classifier import Classifier
from mnist_lstm.inference.picture import Writing
from mnist_lstm.serve import pictures
from mnist_lstm.serve.bodies import BUSY, MAX_REQUESTS, Gate, Posted
from mnist_lstm.serve.metrics import Metrics
from mnist_lstm.serve.refusal import Refusal

TOGETHER = 32  # pictures in a batch at most
WAIT_SECONDS = 0.002  # for requests that have been admitted, but are not read yet
ANSWER_SECONDS = 20  # for a picture that was read, with the time that it waits
LARGE_THREADS = max(1, min(4, (os.cpu_count() or 1) // 2))


@dataclass(eq=False)
class _Job:
    posted: Posted
    split: bool
    answer: asyncio.Future[bytes | None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Reader:
    """Reads pictures for requests. Its methods run in the event loop, its work in threads."""

    def __init__(self, classifier: Classifier, gate: Gate, metrics: Metrics) -> None:
        self.classifier = classifier
        self.gate = gate
        self.metrics = metrics
        self.queue: asyncio.Queue[_Job] = asyncio.Queue(MAX_REQUESTS)
        self.small = ThreadPoolExecutor(1, "small")
        self.large = ThreadPoolExecutor(LARGE_THREADS, "large")
        self.busy = 0  # requests that are with the threads for large pictures

    async def classify(self, posted: Posted, split: bool) -> bytes:
        """Return the answer for a picture; raise `Refusal` if there is none."""
        async with _time_limit():
            job = _Job(posted, split)
            await self.queue.put(job)
            answer = await job.answer
            return await self._large(pictures.classify_large, posted, split) if answer is None else answer

    async def explain(self, posted: Posted, gates: bool) -> bytes:
        """Return the explanation of a picture; raise `Refusal` if there is none."""
        async with _time_limit():
            return await self._large(pictures.explain_one, posted, gates)

    async def _large(self, work: Callable[..., bytes], *args: Any) -> bytes:
        self.busy += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self.large, work, self.classifier, *args)
        finally:
            self.busy -= 1

    async def run(self) -> None:
        """Read what is in the queue, batch by batch, until cancelled."""
        while True:
            jobs = [job for job in await self._gather() if not job.answer.done()]  # some have run out of time
            results = await asyncio.get_running_loop().run_in_executor(self.small, self._read, jobs)
            for job, result in zip(jobs, results, strict=True):
                if job.answer.done():
                    continue
                if isinstance(result, Exception):
                    job.answer.set_exception(result)
                else:
                    job.answer.set_result(result)

    async def _gather(self) -> list[_Job]:
        """Wait for a job, and a moment for others that are about to come."""
        jobs = [await self.queue.get()]
        due = time.monotonic() + WAIT_SECONDS
        while len(jobs) < TOGETHER:
            # whoever is alone does not wait
            if self.queue.empty() and len(jobs) + self.busy >= self.gate.requests:
                break
            try:
                async with asyncio.timeout(due - time.monotonic()):
                    jobs.append(await self.queue.get())
            except TimeoutError:
                break
        return jobs

    def _read(self, jobs: list[_Job]) -> list[bytes | None | Exception]:
        """Read small pictures; the result of any other is None."""
        results: list[bytes | None | Exception] = [None] * len(jobs)
        found: dict[int, Writing] = {}
        for number, job in enumerate(jobs):
            try:
                if (writing := pictures.find_small(job.posted)) is not None:
                    found[number] = writing
            except Exception as error:
                results[number] = error
        self.metrics.batch(len(found))
        for split in (False, True):
            batch = {number: writing for number, writing in found.items() if jobs[number].split == split}
            if not batch:
                continue
            try:
                predictions = self.classifier.predict(list(batch.values()), split=split)
            except Exception as error:  # goes to those who wait for it
                results = [error if number in batch else result for number, result in enumerate(results)]
                continue
            for number, prediction in zip(batch, predictions, strict=True):
                results[number] = pictures.to_answer(jobs[number].posted, prediction)
        return results

    def close(self) -> None:
        """End the threads."""
        self.small.shutdown(cancel_futures=True)
        self.large.shutdown(wait=False, cancel_futures=True)


@contextlib.asynccontextmanager
async def _time_limit() -> AsyncIterator[None]:
    """Refuse the request after `ANSWER_SECONDS`."""
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            yield
    except TimeoutError as error:
        raise Refusal(503, f"there was no answer within {ANSWER_SECONDS} seconds", BUSY) from error
