"""What is in the file when a model is saved: code or data, with or without what is needed to go on training.

`torch.save` writes a pickle: not a description of data but a program that builds it, which may call any function. An
object that says "build me by calling this with that" has it called when the file is opened, used or not. So a model
from a stranger is a stranger's program. Since PyTorch 2.6 `torch.load` has `weights_only=True` as its default: it knows
tensors, plain Python values and a short list of other types, and refuses the rest. This project's loader uses it.

`torch.save(model, path)` writes the whole object, but not its code: of its class the file holds the name, and of the
object its attributes. PyTorch's notes on serialization warn that it is bound to the classes and the directories. Rename
the class, or move its module, and the file does not open. Give `__init__` a new attribute that `forward` uses, and the
file opens, since `__init__` is not called, and fails later, when the model is used.

`torch.save(model.state_dict(), path)` writes names and tensors. It survives all three changes. But it does not say what
network it belongs to. Another number of units is an error, by the shapes; another order of reading is none: the weights
of a network that reads rows go into one that reads columns without a word, and its answers are others. So the options
must be saved beside the weights, as this project's checkpoints do. (The code of `forward` is in none of these files.)

To go on training takes more. Adam keeps two averages per weight, of the gradient g and of its square, so such a file
holds three numbers per weight. A run that is resumed without them starts with empty averages, and Adam's first update
is then lr * g / |g|: nearly every weight moves by the whole learning rate, although updates had become small. That
costs: the mean loss of the next 100 updates is higher in every run than if nothing had happened. Without the
generator's state the run draws other data. With all of these it is the uninterrupted one, bit for bit.
"""

import pickle
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import nn
from torch.optim import Adam

from mnist_lstm.console import track
from mnist_lstm.errors import InputError
from mnist_lstm.lessons import Measure, Result, spread, table
from mnist_lstm.lessons.digits import train_step
from mnist_lstm.lessons.memory import draw, seeded
from mnist_lstm.lessons.options import Count, MemoryOptions, Rate, Size
from mnist_lstm.network.checkpoint import read_checkpoint
from mnist_lstm.network.model import RowLSTM
from mnist_lstm.plots.style import CURVES, draw_band, finish

UNITS, LENGTH = 64, 16  # of the network whose files are compared; steps of the task of `memory.py`
MODULE = "my_network"  # where the class of the saved model is said to lie
SOURCE = """
from torch import nn
class Reader(nn.Module):
    def __init__(self, hidden_size):
        super().__init__()
        self.rnn = nn.LSTM(4, hidden_size, batch_first=True)
    def forward(self, sequences):
        return self.rnn(sequences)[0]
"""
_SCALED = SOURCE.replace("        self.rnn", "        self.scale = 1.0\n        self.rnn", 1)
LATER: dict[str, str | None] = {
    "code unchanged": SOURCE,
    "class renamed": SOURCE.replace("Reader", "Classifier"),
    "module gone": None,
    "new attribute": _SCALED.replace("return ", "return self.scale * "),
}
"""The module's source when the file is opened again; None if there is no such module any more."""

RESUMED = ("weights, optimizer, generator", "weights, generator", "weights, optimizer")  # what is taken up again
COLUMNS = {"first_update": ("first update / learning rate", ".2f"), "highest": ("highest loss", ".3f")}
COLUMNS["difference"] = ("largest difference of losses", ".2g")


@dataclass(frozen=True)
class Options(MemoryOptions):
    """Options of this lesson.

    Args:
        updates: Updates before a run is interrupted.
        more: Updates after that.
        seeds: Number of runs.
    """

    updates: Count = 300
    more: Count = 100
    hidden_size: Size = 16
    learning_rate: Rate = 0.01
    seeds: Count = 5


QUICK = {"seeds": 2}


class RunsCode:
    """Has the empty file ``path`` created when it is unpickled: harmless, but it might be any call."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[], None], tuple[()]]:
        return self.path.touch, ()


def run(options: Options) -> Result:
    """Save and open models in several ways, and interrupt and resume several runs."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        opened = open_hostile_file(folder)
        outcomes = {change: open_later(folder, source) for change, source in LATER.items()}
        ways = compare_ways(folder, options)
        runs = [interrupt(folder, seed, options) for seed in track(range(options.seeds), "interrupting")]
    columns, weights = load_into_other_order(), ways["state_dict"]["weights"]
    renamed = outcomes["class renamed"]  # of the whole model, and of the state_dict
    files = [
        [way, f"{one['bytes']:,}", f"{one['bytes'] / weights:.1f}", one["runs_code"], renamed[way != "whole model"]]
        for way, one in ways.items()
    ]
    resumed = [
        [way, *(spread([one[way][key] for one in runs], style) for key, (_, style) in COLUMNS.items())]
        for way in ("uninterrupted", *RESUMED)
    ]
    lines = [
        "a file with weights and one object that has a function called when it is opened:",
        *table(["opened with", "result", "code ran"], [[way, *result] for way, result in opened.items()]),
        "",
        f"a network of {weights:,} weights:",
        *table(["saved", "bytes", "bytes / weight", "runs code when opened", "after a rename"], files),
        "",
        "the code changes before the file is opened again:",
        *table(["", "whole model", "state_dict"], [[change, *results] for change, results in outcomes.items()]),
        "",
        f"weights of a reader of rows loaded into a reader of columns: no error, logits differ by up to {columns:.2g}",
        "",
        f"interrupted after {options.updates} updates, {options.more} more; {options.seeds} seeds:",
        *table(["taken up again", *(name for name, _ in COLUMNS.values())], resumed),
    ]
    numbers = {"hostile_file": opened, "ways": ways, "code_changes": outcomes, "rows_as_columns": columns, "runs": runs}
    measures = [
        Measure(f"resumed with {way}: {name}", [one[way][key] for one in runs], style)
        for way in ("weights, optimizer, generator", "weights, generator")
        for key, (name, style) in COLUMNS.items()
    ]
    return Result(lines, numbers, _draw(runs, options), measures=measures)


def contents(model: RowLSTM, optimizer: Adam, generator: torch.Generator) -> dict[str, Any]:
    """Return what a resumed run needs; the first two build the network again, as in this project's checkpoints."""
    network = {"state_dict": model.state_dict(), "hyper_parameters": asdict(model.options)}
    return network | {"optimizer": optimizer.state_dict(), "generator": generator.get_state()}


def open_hostile_file(folder: Path) -> dict[str, tuple[str, str]]:
    """Return what happens when a file that has a function called is opened, and whether it was called."""
    path, trace, network = folder / "hostile.ckpt", folder / "it ran", RowLSTM(hidden_size=2)
    content = {"state_dict": network.state_dict(), "hyper_parameters": asdict(network.options)}
    torch.save(content | {"note": RunsCode(trace)}, path)
    readers: dict[str, Callable[[], object]] = {
        "torch.load, weights_only=False": lambda: torch.load(path, weights_only=False),
        "torch.load, weights_only=True": lambda: torch.load(path, weights_only=True),
        "mnist-lstm classify": lambda: read_checkpoint(path),
    }
    results = {}
    for name, reader in readers.items():
        trace.unlink(missing_ok=True)
        result = "opened"
        try:
            reader()
        except (pickle.UnpicklingError, InputError) as error:
            text = str(error).removeprefix(f"{path}: ").split(".")[0]
            result = f"{type(error).__name__}: {text}"
        results[name] = (result, "yes" if trace.exists() else "no")
    return results


def compare_ways(folder: Path, options: Options) -> dict[str, dict[str, Any]]:
    """Save a network in four ways; return the files' bytes, its weights, and whether the file runs code."""
    model, generator = seeded(0, UNITS)
    optimizer = Adam(model.parameters(), float(options.learning_rate))
    train_step(model, optimizer, *draw(options.batch_size, LENGTH, generator))
    everything = contents(model, optimizer, generator)
    files = {"whole model": model, "state_dict": model.state_dict()}
    files["state_dict, options"] = {name: everything[name] for name in ("state_dict", "hyper_parameters")}
    files["state_dict, options, optimizer, generator"] = everything
    path, weights, result = folder / "model.pt", sum(weight.numel() for weight in model.parameters()), {}
    for way, content in files.items():
        torch.save(content, path)
        result[way] = {"bytes": path.stat().st_size, "weights": weights, "runs_code": "no"}
        try:
            torch.load(path, weights_only=True)
        except pickle.UnpicklingError:
            result[way]["runs_code"] = "yes"  # only weights_only=False opens it, and that calls what the file names
    return result


@contextmanager
def installed(source: str | None) -> Iterator[ModuleType]:
    """Let `MODULE` have a source, or not exist, for a while."""
    module = ModuleType(MODULE)
    exec(source or "", module.__dict__)  # the lesson's own text, above
    if source is not None:
        sys.modules[MODULE] = module
    try:
        yield module
    finally:
        sys.modules.pop(MODULE, None)


def open_later(folder: Path, source: str | None) -> tuple[str, str]:
    """Save a model and its state_dict, change the source of its class, and open both.

    Returns:
        What becomes of the whole model, and of the state_dict: "works", or the error. Where the module is gone, the
        class for the state_dict comes from a copy of it.
    """
    sequences, _ = draw(2, LENGTH, torch.Generator().manual_seed(0))
    with installed(SOURCE) as module:
        model = module.Reader(UNITS)
        torch.save(model, folder / "whole.pt")
        torch.save(model.state_dict(), folder / "state.pt")

    def open_whole() -> Any:
        with installed(source):
            return torch.load(folder / "whole.pt", weights_only=False)  # written here, a moment ago

    def rebuild() -> Any:
        with installed(source or SOURCE) as module:
            network = (getattr(module, "Reader", None) or module.Classifier)(UNITS)
        network.load_state_dict(torch.load(folder / "state.pt", weights_only=True))
        return network

    outcomes = []
    for opener in (open_whole, rebuild):
        failure = "does not open"
        try:
            opened, failure = opener(), "opens, fails when used"
            outcomes.append("works" if torch.equal(opened(sequences), model(sequences)) else "other answers")
        except (AttributeError, ImportError) as error:
            outcomes.append(f"{failure}: {type(error).__name__}")
    return outcomes[0], outcomes[1]


@torch.no_grad()
def load_into_other_order() -> float:
    """Load the weights of a network that reads rows into one that reads columns; return how far logits are apart."""
    torch.manual_seed(0)
    rows, columns = (RowLSTM(hidden_size=16, scan_order=order) for order in ("rows", "columns"))
    columns.load_state_dict(rows.state_dict())  # strict, and satisfied
    images = torch.randn(20, 28, 28)
    return float((rows(images) - columns(images)).abs().max())


def interrupt(folder: Path, seed: int, options: Options) -> dict[str, dict[str, Any]]:
    """Train, save, go on; then resume from the file in several ways.

    Returns:
        For the uninterrupted run and each of `RESUMED`: losses after the interruption, and the values of `COLUMNS`.
    """
    model, generator = seeded(seed, int(options.hidden_size), init="pytorch", forget_bias=5.0)
    optimizer, path = Adam(model.parameters(), float(options.learning_rate)), folder / "run.ckpt"
    for _ in range(options.updates):
        train_step(model, optimizer, *draw(options.batch_size, LENGTH, generator))
    torch.save(contents(model, optimizer, generator), path)
    results = {"uninterrupted": _go_on(model, optimizer, generator, options)}
    for way in RESUMED:
        saved = torch.load(path, weights_only=True)
        model = RowLSTM(**saved["hyper_parameters"])
        model.load_state_dict(saved["state_dict"])
        optimizer = Adam(model.parameters(), float(options.learning_rate))
        generator = torch.Generator().manual_seed(seed)
        if "optimizer" in way:
            optimizer.load_state_dict(saved["optimizer"])
        if "generator" in way:
            generator.set_state(saved["generator"])
        results[way] = _go_on(model, optimizer, generator, options)
    for one in results.values():
        pairs = zip(one["losses"], results["uninterrupted"]["losses"], strict=True)
        one["difference"] = max(abs(ours - theirs) for ours, theirs in pairs)
    return results


def _go_on(model: RowLSTM, optimizer: Adam, generator: torch.Generator, options: Options) -> dict[str, Any]:
    losses, weights = [], [nn.utils.parameters_to_vector(model.parameters()).detach()]
    for _ in range(options.more):
        losses.append(train_step(model, optimizer, *draw(options.batch_size, LENGTH, generator)))
        weights.append(nn.utils.parameters_to_vector(model.parameters()).detach())
    first = float((weights[1] - weights[0]).abs().mean()) / options.learning_rate
    return {"losses": losses, "highest": max(losses), "first_update": first}


def _draw(runs: list[dict[str, dict[str, Any]]], options: Options) -> Figure:
    axis = (figure := Figure(figsize=(10, 5), layout="constrained")).subplots()
    widths = {"uninterrupted": 4.0, **dict.fromkeys(RESUMED, 2.0)}  # two of the curves coincide
    shown = range(options.updates + 1, options.updates + 1 + min(40, options.more))
    for (way, width), curve in zip(widths.items(), (CURVES[1], CURVES[3], CURVES[0], CURVES[2]), strict=True):
        values = [one[way]["losses"][: len(shown)] for one in runs]
        draw_band(axis, shown, values, curve, linewidth=width, label=way)
    finish(axis, xlabel="update", ylabel="cross-entropy", yscale="log", title="loss after resuming with ...")
    axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=4)
    return figure
