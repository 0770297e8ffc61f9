"""What a run has logged to TensorBoard, with the runs that it resumed: the curves of the whole training."""

import json
import os
from pathlib import Path
from typing import Any

from mnist_lstm.files import write

ORIGIN = "resumed_from.json"
"""In the folder of a resumed run: the checkpoint, relative to the folder, and the steps before it."""

Scalars = dict[str, list[tuple[int, float]]]
"""By name: steps, each with its value."""


def write_origin(run: Path, checkpoint: Path, steps: int) -> None:
    """Write into a run's folder which checkpoint it resumes."""
    try:
        name = os.path.relpath(checkpoint, run)
    except ValueError:  # on another drive of Windows
        name = str(checkpoint.absolute())
    write(run / ORIGIN, (json.dumps({"checkpoint": name, "steps": steps}) + "\n").encode())


def read_scalars(run: Path, names: tuple[str, ...]) -> tuple[Scalars, str]:
    """Return what a run and the runs before it have logged, and which part of it is missing, if any.

    Of a run that another one resumes, steps after its checkpoint count as not done.
    """
    scalars: Scalars = {name: [] for name in names}
    end: float = float("inf")
    seen: set[Path] = set()
    while True:
        seen.add(run.resolve())
        logged = _read(run, names)
        if not any(logged.values()) and end < float("inf"):
            return _finish(scalars), f"the steps before {end:,}: {run} has no TensorBoard files"
        for name, points in logged.items():
            scalars[name] = [point for point in points if point[0] < end] + scalars[name]
        origin = read_origin(run)
        if origin is None:
            return _finish(scalars), ""
        checkpoint, steps = origin
        end = min(end, steps)
        run = checkpoint.parent.parent
        if checkpoint.parent.name != "checkpoints" or not run.is_dir() or run.resolve() in seen:
            return _finish(scalars), f"the steps before {end:,}: {checkpoint} is not in the folder of a run any more"


def _finish(scalars: Scalars) -> Scalars:
    return {name: points for name, points in scalars.items() if points}


def _read(run: Path, names: tuple[str, ...]) -> Scalars:
    # TensorBoard's reader takes half a second to import
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run), size_guidance={"scalars": 0}).Reload()
    known = set(events.Tags()["scalars"]) & set(names)
    return {name: [(event.step, event.value) for event in events.Scalars(name)] for name in known}


def read_origin(run: Path) -> tuple[Path, int] | None:
    """Return the checkpoint that a run resumes, if any, and the steps before it."""
    try:
        origin: Any = json.loads((run / ORIGIN).read_text(encoding="utf-8"))
        return Path(os.path.normpath(run / str(origin["checkpoint"]))), int(origin["steps"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError):
        return run / ORIGIN, 0
