"""Measure in one call what the READMEs say of a GPU; print a table, and write JSON.

python scripts/gpu_report.py --output report.json
python scripts/gpu_report.py --minutes 4 --parts goal,record

    tests     those that need a GPU
    goal      seconds of training to 99 % validation accuracy, five seeds
    command   the whole command with the default recipe
    record    seconds of one seed of the record recipe
    steps     fit's steps against a bare loop with and without CUDA graphs, configs/gpu.yaml and configs/gpu_mixed.yaml
    seeds     the record's accuracy by other writers, three seeds side by side with three of batches of 128
    pixels    accuracy pixel by pixel in both orders, five seeds side by side, in up to 75 GB of GPU memory

Each part runs in processes of its own. A part that fails is reported, and the others go on. `seeds` and `pixels` train
for as many epochs as the time allows.
"""

import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from mnist_lstm.console import printable
from mnist_lstm.errors import InputError
from mnist_lstm.files import refuse_existing

REPOSITORY = Path(__file__).resolve().parents[1]
BENCHMARK = REPOSITORY / "scripts" / "benchmark.py"
CONFIGS = {"gpu": "32-true", "gpu_mixed": "bf16-mixed"}
"""Those for one GPU, each with its precision."""

RECORD = ("gpu_mixed", "record", "record_gpu")
SEEDS = 5
RECORD_SEEDS = 3
START_S = 25.0
"""Seconds for imports, data and the first use of a GPU, side by side."""

SLOWDOWN = 2.0
"""Of a step when six processes share the GPU."""

PIXEL_STEP_S = 0.03
"""Seconds of a step of configs/pixels.yaml when five processes share the GPU."""

TIMED = """
import sys, time
import mnist_lstm.training.cli
import torch._dynamo  # PyTorch's optimizers do, at their first step
from mnist_lstm.cli import main
start = time.perf_counter()
code = main(sys.argv[1:])
print("without imports", time.perf_counter() - start, "s")
sys.exit(code)
"""

TRIAL = "trainer: {accelerator: cpu, limit_train_batches: 3, max_epochs: 2}\nmodel: {hidden_size: 8}\n"


class Outcome(NamedTuple):
    """What a process did: its exit code, None if its time was up, its seconds and its output."""

    code: int | None
    seconds: float
    text: str

    def find(self, pattern: str) -> float | None:
        """Return the last number that a pattern finds in the output, or None."""
        found = re.findall(pattern, self.text)
        return float(found[-1].replace(",", "")) if found else None


class Report:
    """Run processes until the time is up; collect results.

    Args:
        options: of the command line.
        folder: for files of the runs.
    """

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self.options, self.folder = options, folder
        self.start = time.monotonic()
        self.rows: list[tuple[str, str]] = []
        self.record_step: float | None = None  # seconds
        self.trial = folder / "trial.yaml"
        self.trial.write_text(TRIAL, encoding="utf-8")

    @property
    def left(self) -> float:
        """Seconds until the time is up."""
        return 60 * float(self.options.minutes) - (time.monotonic() - self.start)

    def row(self, what: str, value: str) -> None:
        """Add a row to the table, and print it."""
        self.rows.append((what, value))
        print(f"[{time.monotonic() - self.start:5.0f} s] {what}: {value}", flush=True)

    def configs(self, *names: str) -> list[str]:
        """Return the arguments for configs; a trial adds its own."""
        paths = [REPOSITORY / "configs" / f"{name}.yaml" for name in names]
        return [
            part for path in [*paths, *([self.trial] if self.options.trial else [])] for part in ("--config", str(path))
        ]

    def fit(self, configs: tuple[str, ...], *options: str, start: tuple[str, ...] = ("-m", "mnist_lstm")) -> list[str]:
        """Return the command of a training; each has a folder of its own."""
        folder = tempfile.mkdtemp(dir=self.folder)
        own = ["--trainer.default_root_dir", folder, "--data.data_dir", str(self.options.data_dir)]
        last = ["--trainer.max_epochs", "2"] if self.options.trial else []
        return [sys.executable, *start, "fit", *self.configs(*configs), *own, *options, *last]

    def run(self, commands: dict[str, list[str]]) -> dict[str, Outcome]:
        """Run processes side by side; report those that fail. Outcomes are in the order of the commands."""
        start = time.monotonic()
        files = {name: (self.folder / f"{name}.log").open("w+", encoding="utf-8") for name in commands}
        running = {
            name: subprocess.Popen(command, stdout=files[name], stderr=subprocess.STDOUT, cwd=REPOSITORY)
            for name, command in commands.items()
        }
        outcomes: dict[str, Outcome] = {}
        while running:
            time.sleep(0.05)
            for name, process in list(running.items()):
                is_late = self.left <= 0
                if is_late:
                    process.kill()
                    process.wait()
                elif process.poll() is None:
                    continue
                del running[name]
                seconds = time.monotonic() - start
                with files[name] as file:
                    file.seek(0)
                    text = file.read()
                outcomes[name] = Outcome(None if is_late else process.returncode, seconds, text)
                if is_late:
                    self.row(name, "its time was up")
                elif process.returncode:
                    print("\n".join(text.splitlines()[-40:]), flush=True)
                    self.row(name, f"FAILED with exit code {process.returncode}")
        return {name: outcomes[name] for name in commands}


def tests(report: Report) -> dict[str, Any]:
    """Run the tests that need a GPU."""
    command = [sys.executable, "-m", "pytest", "-o", "addopts=", "-q", "-p", "no:cacheprovider", "-m", "gpu"]
    outcome = report.run({"tests": command})["tests"]
    report.row("tests that need a GPU", outcome.text.strip().splitlines()[-1])
    return {"code": outcome.code, "summary": outcome.text.strip().splitlines()[-1]}


def steps(report: Report) -> dict[str, Any]:
    """Compare fit with bare loops."""
    results = {}
    for config, precision in reversed(CONFIGS.items()):
        file = report.folder / f"steps-{config}.json"
        network = ["--hidden_size", "128", "--bidirectional", "--batch_size", "1024", "--precision", precision]
        hardware = (
            ["--steps", "3", "--no-tutorial", "--rounds", "1"] if report.options.trial else ["--accelerator", "gpu"]
        )
        own = ["--data_dir", str(report.options.data_dir), "--output", str(file)]
        report.run({f"steps {config}": [sys.executable, str(BENCHMARK), "train", *network, *own, *hardware]})
        if file.is_file():
            results[config] = json.loads(file.read_text(encoding="utf-8"))
            for row in results[config]["ratios"]:
                spread = f"{row['ratio']:.2f} ({row['min']:.2f} to {row['max']:.2f})"
                report.row(f"{config}: {row['what']} / {row['over']}", spread)
    return results


def goal(report: Report) -> dict[str, Any]:
    """Take the seconds to 99 %."""
    results = {}
    for config in reversed(CONFIGS):
        file = report.folder / f"goal-{config}.json"
        own = ["--data_dir", str(report.options.data_dir), "--output", str(file)]
        command = [sys.executable, str(BENCHMARK), "goal", *report.configs(config), "--rounds", str(SEEDS), *own]
        report.run({f"goal {config}": command})
        if file.is_file():
            results[config] = json.loads(file.read_text(encoding="utf-8"))
            report.row(
                f"{config}: seconds to 99 %, median", f"{results[config]['median']} of {results[config]['seconds']}"
            )
    return results


def command(report: Report) -> dict[str, Any]:
    """Time the whole command."""
    results = {}
    for config in reversed(CONFIGS):
        name = f"command {config}"
        outcome = report.run({name: report.fit((config,), start=("-c", TIMED))})[name]
        results[config] = {
            "seconds": outcome.seconds,
            "without imports": outcome.find(r"without imports ([\d.]+) s"),
            "validation": outcome.find(r"validation +([\d.]+) %"),
            "test": outcome.find(r"test accuracy ([\d.]+) %"),
        }
        shown = ", ".join(f"{what} {value}" for what, value in results[config].items())
        report.row(f"mnist-lstm fit --config configs/{config}.yaml", shown)
    return results


def record(report: Report) -> dict[str, Any]:
    """Time one seed of the record recipe."""
    outcome = report.run({"record": report.fit(RECORD, "--test_after_fit", "false")})["record"]
    count, seconds = outcome.find(r"training +([\d,]+) steps"), outcome.find(r"steps in ([\d.]+) s")
    if count and seconds:
        report.record_step = seconds / count
    report.row("the record recipe, one seed", f"{outcome.seconds:.0f} s, {count} steps in {seconds} s")
    return {"seconds": outcome.seconds, "steps": count, "seconds of training": seconds}


def seeds(report: Report) -> dict[str, Any]:
    """Compare accuracies of the record recipe with batches of 1,024 and of 128."""
    step = report.record_step or 0.01
    time_left = report.left * (0.5 if "pixels" in report.options.parts else 1) - START_S
    epochs = max(2, min(80, 2 * int(time_left / (2 * SLOWDOWN * step * 391))))
    options = ["--data.split", "writers", "--data.val_size", "10000", "--test_after_fit", "false"]
    small = ["--data.batch_size", "128", "--model.learning_rate", "0.004"]
    commands = {}
    for seed in range(RECORD_SEEDS):
        own = [*options, "--seed_everything", str(seed), "--trainer.max_epochs", str(epochs)]
        commands[f"record 1024 seed {seed}"] = report.fit(RECORD, *own)
        commands[f"record 128 seed {seed}"] = report.fit(RECORD[:2], *own, *small)
    outcomes = report.run(commands)
    results: dict[str, Any] = {"epochs": epochs}
    for size in (1024, 128):
        found = [outcomes[f"record {size} seed {seed}"] for seed in range(RECORD_SEEDS)]
        accuracies = [outcome.find(r"val/acc ([\d.]+)%") for outcome in found]
        results[str(size)] = {"accuracies": accuracies, "seconds": [outcome.seconds for outcome in found]}
        report.row(f"record, batches of {size}, {epochs} epochs, other writers", _median_of(accuracies))
    return results


def pixels(report: Report) -> dict[str, Any]:
    """Train pixel by pixel, in one order after the other: each process takes up to 15 GB of the GPU's memory."""
    config = yaml.safe_load((REPOSITORY / "configs" / "pixels.yaml").read_text(encoding="utf-8"))
    orders = ("pixels", "permuted")
    fitting = (report.left / len(orders) - START_S) / (PIXEL_STEP_S * 430)
    epochs = max(2, min(config["trainer"]["max_epochs"], 2 * int(fitting / 2)))
    results: dict[str, Any] = {"epochs": epochs}
    for order in orders:
        commands = {}
        for seed in range(SEEDS):
            own = ["--trainer.max_epochs", str(epochs), "--seed_everything", str(seed), "--model.scan_order", order]
            commands[f"{order} seed {seed}"] = report.fit(("gpu", "pixels"), *own)
        found = report.run(commands).values()
        results[order] = {
            "validation": [outcome.find(r"validation +([\d.]+) %") for outcome in found],
            "test": [outcome.find(r"test accuracy ([\d.]+) %") for outcome in found],
            "seconds": [outcome.seconds for outcome in found],
        }
        for what in ("validation", "test"):
            report.row(f"{order}: {what} accuracy of {epochs} epochs", _median_of(results[order][what]))
    return results


def _median_of(accuracies: list[float | None]) -> str:
    reached = [accuracy for accuracy in accuracies if accuracy is not None]
    return f"median {statistics.median(reached):.2f} of {accuracies} %" if reached else "none"


PARTS: dict[str, Callable[[Report], dict[str, Any]]] = {
    part.__name__: part for part in (tests, goal, command, record, steps, seeds, pixels)
}
"""In the order in which they run."""


def main(args: list[str] | None = None) -> int:
    """Run the script; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10, help="after which nothing more is started (10)")
    parser.add_argument("--parts", default=",".join(PARTS), help="what to measure, separated by commas (all)")
    parser.add_argument("--data_dir", type=Path, default=Path("data"), help="folder of MNIST (data)")
    parser.add_argument("--output", type=Path, metavar="FILE", help="new JSON file")
    parser.add_argument("--trial", action="store_true", help="try the script on a CPU, with tiny networks")
    options = parser.parse_args(args)
    options.parts = options.parts.split(",")
    options.data_dir = options.data_dir.expanduser().resolve()
    try:
        return run(options)
    except InputError as error:
        print(f"gpu_report: error: {printable(str(error))}", file=sys.stderr)
        return 2


def run(options: argparse.Namespace) -> int:
    """Run the parts; return 0 if all have run, else 1.

    Raises:
        InputError: a part is unknown, the output exists, or there is no CUDA GPU.
    """
    import torch
    from benchmarks import measure

    for part in options.parts:
        if part not in PARTS:
            raise InputError(f"--parts {part}: unknown; choose from {', '.join(PARTS)}")
    if options.output is not None:
        refuse_existing(options.output, "--output")
    if not options.trial and not torch.cuda.is_available():
        raise InputError("PyTorch sees no CUDA GPU on this machine; --trial tries the script without one")
    results: dict[str, Any] = {"minutes": options.minutes, "trial": options.trial, "parts": {}}
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        report = Report(options, Path(folder))
        for name, part in PARTS.items():
            if name in options.parts:
                results["parts"][name] = _measure(report, name, part)
    width = max(len(what) for what, _ in report.rows)
    print(*("", *(f"{what:<{width}}  {value}" for what, value in report.rows)), sep="\n", flush=True)
    measure.write({**results, "table": report.rows}, options.output)
    return int(any("error" in result for result in results["parts"].values()))


def _measure(report: Report, name: str, part: Callable[[Report], dict[str, Any]]) -> dict[str, Any]:
    if report.left <= 0:
        report.row(name, "no time was left")
        return {"error": "no time was left"}
    try:
        return part(report)
    except Exception as error:  # the other parts go on
        report.row(name, f"FAILED: {error!r}")
        return {"error": repr(error)}


if __name__ == "__main__":
    sys.exit(main())
