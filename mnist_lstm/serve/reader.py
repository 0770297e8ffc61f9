"""`Reader`: pictures of many requests go through the network together.

A picture in MNIST's form is decoded by one thread and read by another, each with those that have arrived meanwhile: the
network reads 16 of them in a quarter of the time that it takes for them one by one. Any other picture takes a tenth of
a second and more, most of it to find the digits, and must not hold up the small ones: it goes to threads of its own.
"""

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

from mnist_lstm.inference.classifier import Classifier
from mnist_lstm.inference.picture import Writing
from mnist_lstm.serve import pictures
from mnist_lstm.serve.bodies import BUSY, MAX_REQUESTS, Gate, Posted
from mnist_lstm.serve.metrics import Metrics
from mnist_lstm.serve.refusal import Refusal

TOGETHER = 16  # pictures in a batch at most
WAIT_SECONDS = 0.002  # of the network for pictures that are on their way to it
ANSWER_SECONDS = 20  # for a picture that has arrived, with the time that it waits
LARGE_THREADS = max(1, min(4, (os.cpu_count() or 1) // 2))


@dataclass(eq=False)
class _Job:
    posted: Posted
    split: bool
    writing: Writing | None = None
    answer: asyncio.Future[bytes | None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def end(self, result: bytes | Exception | None) -> None:
        """Answer the request, unless it has run out of time."""
        if self.answer.done():
            return
        if isinstance(result, Exception):
            self.answer.set_exception(result)
        else:
            self.answer.set_result(result)


_Queue = asyncio.Queue[_Job]
Result = TypeVar("Result")


class Reader:
    """Reads pictures for requests. Its methods run in the event loop, its work in threads."""

    def __init__(self, classifier: Classifier, gate: Gate, metrics: Metrics) -> None:
        self.classifier = classifier
        self.gate = gate
        self.metrics = metrics
        self.arrived: _Queue = asyncio.Queue(MAX_REQUESTS)
        self.decoded: _Queue = asyncio.Queue(MAX_REQUESTS)
        self.decoder = ThreadPoolExecutor(1, "decoder")
        self.network = ThreadPoolExecutor(1, "network")
        self.large = ThreadPoolExecutor(LARGE_THREADS, "large")
        self.elsewhere = 0  # requests that will not come to the network's queue, or not again

    def waiting(self) -> int:
        """Return how many small pictures wait."""
        return self.arrived.qsize() + self.decoded.qsize()

    async def classify(self, posted: Posted, split: bool) -> bytes:
        """Return the answer for a picture; raise `Refusal` if there is none."""
        async with _time_limit():
            job = _Job(posted, split)
            await self.arrived.put(job)
            answer = await job.answer
            return await self._large(pictures.classify_large, posted, split) if answer is None else answer

    async def explain(self, posted: Posted, gates: bool) -> bytes:
        """Return the explanation of a picture; raise `Refusal` if there is none."""
        async with _time_limit():
            return await self._large(pictures.explain_one, posted, gates)

    async def _large(self, work: Callable[..., bytes], *args: Any) -> bytes:
        self.elsewhere += 1
        try:
            return await _in(self.large, work, self.classifier, *args)
        finally:
            self.elsewhere -= 1

    async def run(self) -> None:
        """Read what arrives, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._decode_all())
            tasks.create_task(self._read_all())

    async def _decode_all(self) -> None:
        while True:
            jobs = [await self.arrived.get()]
            while len(jobs) < TOGETHER and not self.arrived.empty():
                jobs.append(self.arrived.get_nowait())
            jobs = [job for job in jobs if not job.answer.done()]  # some clients have hung up, or run out of time
            for job, result in zip(jobs, await _in(self.decoder, self._decode, jobs), strict=True):
                if isinstance(result, Writing):
                    job.writing = result
                    self.decoded.put_nowait(job)
                else:
                    job.end(result)

    def _decode(self, jobs: list[_Job]) -> list[Writing | Exception | None]:
        """Find the digits of small pictures; the result of a large one is None."""
        results: list[Writing | Exception | None] = []
        for job in jobs:
            try:
                results.append(pictures.find_small(job.posted))
            except Exception as error:
                results.append(error)
        return results

    async def _read_all(self) -> None:
        while True:
            jobs = [job for job in await self._gather() if not job.answer.done()]
            if not jobs:
                continue
            self.metrics.batch(len(jobs))
            for job, result in zip(jobs, await _in(self.network, self._read, jobs), strict=True):
                job.end(result)

    async def _gather(self) -> list[_Job]:
        """Wait for a picture, and a moment for others that are about to come."""
        jobs = [await self.decoded.get()]
        due = time.monotonic() + WAIT_SECONDS
        while len(jobs) < TOGETHER:
            # whoever is alone does not wait
            if self.decoded.empty() and len(jobs) + self.elsewhere >= self.gate.requests:
                break
            try:
                async with asyncio.timeout(due - time.monotonic()):
                    jobs.append(await self.decoded.get())
            except TimeoutError:
                break
        return jobs

    def _read(self, jobs: list[_Job]) -> list[bytes | Exception]:
        results: dict[int, bytes | Exception] = {}
        for split in (False, True):
            batch = {n: job.writing for n, job in enumerate(jobs) if job.split == split and job.writing is not None}
            try:
                predictions = self.classifier.predict(list(batch.values()), split=split) if batch else []
                for n, prediction in zip(batch, predictions, strict=True):
                    results[n] = pictures.to_answer(jobs[n].posted, prediction)
            except Exception as error:  # goes to those who wait for it
                results |= dict.fromkeys(batch, error)
        return [results[n] for n in range(len(jobs))]

    def close(self) -> None:
        """End the threads."""
        for pool in (self.decoder, self.network, self.large):
            pool.shutdown(wait=False, cancel_futures=True)


async def _in(pool: ThreadPoolExecutor, work: Callable[..., Result], *args: Any) -> Result:
    return await asyncio.get_running_loop().run_in_executor(pool, work, *args)


@contextlib.asynccontextmanager
async def _time_limit() -> AsyncIterator[None]:
    """Refuse the request after `ANSWER_SECONDS`."""
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            yield
    except TimeoutError as error:
        raise Refusal(503, f"there was no answer within {ANSWER_SECONDS} seconds", BUSY) from error
