"""Measure ``mnist-lstm fit`` with several processes on this machine: images a second, and what limits them.

One process of one thread is compared with more processes of one thread each, and with one process of all threads. The
batch of all processes together stays as it is (global), or that of each process (local). Each measurement is a run of
its own, started by torchrun with ``configs/ddp.yaml``; the first steps are not counted. In each step:

    processor   seconds of all processors per image: a ratio above 1 is small batches, or work that each process does
    busy        share of the time in which a thread has a core: the rest is cores that others use, and
    all-reduce  ... what processes add up, the loss and the gradients, when all have come
    waiting     ... for the last of them to come

Efficiency is busy over processor, both as ratios to one process.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from lightning.pytorch import Callback, LightningModule, Trainer

from benchmarks import measure
from benchmarks.train import CONFIGS, fit_args, run_fit
from mnist_lstm.data import datasets
from mnist_lstm.errors import InputError, TrainingError
from mnist_lstm.training import processes

WARM_UP = 5
"""Steps that are not counted."""

STEP, TOGETHER, WAITING, PROCESSOR = "step", "all-reduce", "waiting", "processor"

Seconds = dict[str, float]
"""Of a step, and of what processes do together in it."""


class Case(NamedTuple):
    """What is measured: a number of processes with so many threads each, and which batch stays as it is."""

    processes: int
    threads: int
    kept: str

    def images(self, batch_size: int) -> int:
        """Return the number of images of a step."""
        return batch_size * self.processes if self.kept == "local" else batch_size


class Steps(Callback):
    """Take the time of each step, and of each all-reduce in it."""

    def __init__(self) -> None:
        self.steps: list[float] = []
        self.reduced: list[float] = []
        self.calls = 0  # of all-reduce, in these steps
        self.processor = 0.0  # seconds of all steps
        self._start = self._first = 0.0
        self._all_reduce = dist.all_reduce

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Time what processes add up."""
        if processes.count() > 1:
            dist.all_reduce = self._timed
            trainer.strategy.model.register_comm_hook(None, self._gradients)  # type: ignore[union-attr,operator]

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Forget what came before the first step that counts."""
        if batch_idx == WARM_UP:
            self.reduced.clear()
            self._start, self._first = time.perf_counter(), time.process_time()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Note the time."""
        if batch_idx >= WARM_UP:
            now = time.perf_counter()
            self.steps.append(now - self._start)
            self._start, self.processor = now, time.process_time() - self._first
            self.calls = len(self.reduced)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop timing."""
        dist.all_reduce = self._all_reduce

    def _timed(self, *args: Any, **kwargs: Any) -> Any:
        start = time.perf_counter()
        work = self._all_reduce(*args, **kwargs)
        self.reduced.append(time.perf_counter() - start)
        return work

    def _gradients(self, state: None, bucket: dist.GradBucket) -> torch.futures.Future[torch.Tensor]:  # type: ignore[name-defined]
        """Average gradients as DDP does."""
        gradients = bucket.buffer().div_(processes.count())
        dist.all_reduce(gradients)
        done: torch.futures.Future[torch.Tensor] = torch.futures.Future()
        done.set_result(gradients)
        return done


def main() -> None:
    """Be one of the processes: ``python -m benchmarks.scaling RESULT ARGUMENT-OF-FIT ...``."""
    steps = Steps()
    run_fit(sys.argv[2:], steps)
    reduced, processor = zip(*processes.gather((steps.reduced[: steps.calls], steps.processor)), strict=True)
    if processes.rank() == 0:
        # who comes last waits for nobody
        calls = list(zip(*reduced, strict=True))
        together = sum(map(min, calls))
        waiting = sum(map(sum, calls)) / len(reduced) - together
        number = len(steps.steps)
        seconds = {STEP: sum(steps.steps), TOGETHER: together, WAITING: waiting, PROCESSOR: sum(processor)}
        result = {name: value / number for name, value in seconds.items()}
        Path(sys.argv[1]).write_text(json.dumps(result))
    processes.part_together()


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure and print; return the results."""
    datasets.prepare(options.dataset, options.data_dir, *datasets.sources())
    largest, images = max(options.processes) * options.batch_size, len(_training_images(options).labels)
    if images <= WARM_UP * largest:
        raise InputError(
            f"--batch_size {options.batch_size}: {images:,} images are too few for more than {WARM_UP} steps of "
            f"{largest:,}, the most in all; take smaller batches, or fewer --processes"
        )
    alone = Case(1, 1, "")
    cases = [alone, Case(1, torch.get_num_threads(), "")]
    cases += [Case(count, 1, kept) for kept in ("global", "local") for count in options.processes]
    results: dict[Case, list[Seconds]] = {case: [] for case in cases}
    for _ in range(options.rounds):
        for case, seconds in results.items():
            seconds.append(_run(options, case))
    print(
        f"{options.hidden_size} units{' in both directions' if options.bidirectional else ''}, batches of "
        f"{options.batch_size}; medians, and minimum and maximum of {options.rounds} rounds\n"
        "processes  threads  batch kept  images each  images/s  over one process     efficiency  processor  busy  "
        "all-reduce  waiting"
    )
    return {"rows": [_row(case, options.batch_size, seconds, results[alone]) for case, seconds in results.items()]}


def _training_images(options: argparse.Namespace) -> datasets.Digits:
    return datasets.load_split(options.dataset, "train", options.data_dir)


def _run(options: argparse.Namespace, case: Case) -> Seconds:
    """Train, and return the seconds of a step."""
    torchrun = ["-m", "torch.distributed.run", f"--nproc-per-node={case.processes}", "--rdzv-backend=c10d"]
    torchrun += ["--rdzv-endpoint=localhost:0"]
    own = ["--trainer.accelerator=cpu", *fit_args(options), "--trainer.max_epochs=1", "--trainer.limit_val_batches=0"]
    own += [f"--trainer.limit_train_batches={WARM_UP + options.steps}"]
    own += [f"--data.dataset={options.dataset}", f"--data.batch_size={case.images(options.batch_size)}"]
    own += [f"--config={CONFIGS / 'ddp.yaml'}"] if case.processes > 1 else []
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": str(case.threads)}
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder, "result.json")
        program = ["-m", "benchmarks.scaling", str(result), *own]
        command = [sys.executable, *(torchrun if case.processes > 1 else []), *program]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if not result.is_file():  # gloo may abort when all is done
            reason = re.search(r"^(\[rank\d+\]: )?(\w+\.)*\w+Error: .*", done.stderr, re.MULTILINE)
            raise TrainingError(f"{case.processes} processes: {reason[0] if reason else done.stderr[-1000:]}")
        seconds: Seconds = json.loads(result.read_text())
        return seconds


def _row(case: Case, batch_size: int, results: list[Seconds], alone: list[Seconds]) -> dict[str, Any]:
    """Print a line of the table, and return it."""
    images, cores = case.images(batch_size), case.processes * case.threads
    per_image = {
        **{f"one {name}": [one[name] / batch_size for one in alone] for name in (STEP, PROCESSOR)},
        **{name: [result[name] / images for result in results] for name in (STEP, PROCESSOR)},
    }
    speedup = measure.compare(per_image, f"one {STEP}", STEP)
    row = {
        "images per second": statistics.median(1 / seconds for seconds in per_image[STEP]),
        "over one process": speedup,
        "efficiency": speedup["ratio"] / cores,
        PROCESSOR: measure.compare(per_image, PROCESSOR, f"one {PROCESSOR}"),
        "busy": statistics.median(result[PROCESSOR] / result[STEP] / cores for result in results),
        **{name: statistics.median(result[name] / result[STEP] for result in results) for name in (TOGETHER, WAITING)},
    }
    print(
        f"{case.processes:9}  {case.threads:7}  {case.kept:10}  {images / case.processes:11.0f}  "
        f"{row['images per second']:8.0f}  {speedup['ratio']:4.2f} ({speedup['min']:4.2f} to {speedup['max']:4.2f})  "
        f"{row['efficiency']:10.0%}  {row[PROCESSOR]['ratio']:9.2f}  {row['busy']:4.0%}  {row[TOGETHER]:10.1%}  "
        f"{row[WAITING]:7.1%}"
    )
    return {**case._asdict(), "images": images, **row, "seconds": results}


if __name__ == "__main__":
    main()
