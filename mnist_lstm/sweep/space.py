"""A search space: which options of `fit` are tried, and in which ranges.

model.learning_rate: {log_uniform: [0.001, 0.03]}
model.dropout: {uniform: [0, 0.5]}
data.batch_size: {int: [32, 256], step: 32}
model.hidden_size: {log_int: [32, 256]}
model.deskew: {choice: [true, false]}
model.schedule:  # a branch: these options exist only with this value
  choice:
    one_cycle:
    constant:
      model.weight_decay: {log_uniform: [0.001, 0.1]}
"""

import math
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from mnist_lstm.errors import InputError

if TYPE_CHECKING:
    from optuna import Trial

RANGES = ("uniform", "log_uniform", "int", "log_int")
KINDS = (*RANGES, "choice")


@dataclass(frozen=True)
class Range:
    """Numbers from ``low`` to ``high``, both included; with a ``step`` whole ones."""

    low: float
    high: float
    log: bool
    step: int | None


@dataclass(frozen=True)
class Choice:
    """Values, each with the options that exist only with it."""

    branches: tuple[tuple[Any, "Space"], ...]


Space = Mapping[str, Range | Choice]
"""What is searched for each option."""

Options = dict[str, Any]
"""A value for each option."""


def read_space(file: Path) -> Space:
    """Read a search space from a YAML file.

    Raises:
        InputError: the file or a key of it is wrong; the message names both.
    """
    try:
        content = yaml.load(file.read_text(encoding="utf-8"), _Loader)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file}: cannot be read ({getattr(error, 'strerror', None) or 'not UTF-8'})") from error
    except (yaml.YAMLError, RecursionError) as error:
        raise InputError(f"{file}: is not YAML: {' '.join(str(error).split())}") from error
    return _read_options(content, str(file), ())


def suggest(space: Space, trial: "Trial", branch: str = "") -> Options:
    """Let Optuna choose a value for each option that exists with the values chosen so far."""
    chosen: Options = {}
    for option, kind in space.items():
        name = branch + option
        if isinstance(kind, Choice):
            chosen[option] = value = trial.suggest_categorical(name, [value for value, _ in kind.branches])
            # 1 and True are equal, but not the same value of an option
            inner = next(inner for v, inner in kind.branches if v == value and type(v) is type(value))
            chosen |= suggest(inner, trial, f"{name}={value}: ")
        elif kind.step is None:
            chosen[option] = trial.suggest_float(name, kind.low, kind.high, log=kind.log)
        else:
            chosen[option] = trial.suggest_int(name, int(kind.low), int(kind.high), step=kind.step, log=kind.log)
    return chosen


def corners(space: Space, given: Options | None = None) -> Iterator[tuple[str, Options]]:
    """Yield each option with what must be possible: both ends of its range, or each of its values, in its branch."""
    given = given or {}
    for option, kind in space.items():
        if isinstance(kind, Range):
            ends = (kind.low, kind.high) if kind.step is None else (int(kind.low), int(kind.high))
            yield from ((option, given | {option: end}) for end in ends)
        else:
            for value, inner in kind.branches:
                yield option, given | {option: value}
                yield from corners(inner, given | {option: value})


def describe(space: Space) -> Any:
    """Return a space as plain data, to be stored and compared."""
    return {
        option: [[value, describe(inner)] for value, inner in kind.branches]
        if isinstance(kind, Choice)
        else [kind.low, kind.high, kind.log, kind.step]
        for option, kind in space.items()
    }


def _read_options(content: Any, where: str, outside: tuple[str, ...]) -> dict[str, Range | Choice]:
    if not isinstance(content, dict) or not content:
        raise InputError(f"{where}: must have options of fit as keys, such as model.learning_rate")
    space: dict[str, Range | Choice] = {}
    for option, entry in content.items():
        if not isinstance(option, str):
            raise InputError(f"{where}: {option}: is not an option of fit")
        if option in outside:
            raise InputError(f"{where}: {option}: stands outside of the branch as well")
        space[option] = _read_kind(entry, f"{where}: {option}", (*outside, *content))
    return space


def _read_kind(entry: Any, where: str, outside: tuple[str, ...]) -> Range | Choice:
    kinds = [key for key in entry if key != "step"] if isinstance(entry, dict) else []
    if len(kinds) != 1 or kinds[0] not in KINDS:
        unknown = next((str(kind) for kind in kinds if kind not in KINDS), None)
        found = f"unknown kind {unknown!r}" if unknown else "needs one kind"
        raise InputError(f"{where}: {found}; write {{KIND: [LOW, HIGH]}} with {', '.join(RANGES)}, or choice: [...]")
    (kind,) = kinds
    if "step" in entry and kind != "int":
        raise InputError(f"{where}: step is for int, not for {kind}")
    if kind == "choice":
        return _read_choice(entry[kind], where, outside)
    return _read_range(kind, entry[kind], entry.get("step", 1), where)


def _read_range(kind: str, ends: Any, step: Any, where: str) -> Range:
    numbers = [_number(end) for end in ends] if isinstance(ends, list) else []
    if len(numbers) != 2 or None in numbers:
        raise InputError(f"{where}: {kind} needs two numbers, [LOW, HIGH]")
    low, high = (float(number) for number in numbers if number is not None)
    if low >= high:
        raise InputError(f"{where}: low must be less than high; {ends[0]} is not less than {ends[1]}")
    log = kind.startswith("log")
    if log and low <= 0:
        raise InputError(f"{where}: {kind} needs numbers greater than 0, not {ends[0]}")
    if "int" not in kind:
        return Range(low, high, log, None)
    if not (low.is_integer() and high.is_integer()):
        raise InputError(f"{where}: {kind} needs whole numbers")
    if not isinstance(step, int) or isinstance(step, bool) or step < 1 or (high - low) % step:
        raise InputError(f"{where}: step {step}: must be a whole number, and lead from {ends[0]} to {ends[1]}")
    return Range(low, high, log, step)


def _read_choice(values: Any, where: str, outside: tuple[str, ...]) -> Choice:
    if isinstance(values, list):
        values = [(value, None) for value in values]
    elif isinstance(values, dict):
        values = list(values.items())
    if not isinstance(values, list) or not values:
        raise InputError(f"{where}: choice needs a list of values, or values with options that exist only with them")
    branches: list[tuple[Any, Space]] = []
    for value, inner in values:
        if not isinstance(value, str | int | float | None):
            raise InputError(f"{where}: {value}: a value must be a text, a number, true, false or null")
        if any(value == other and type(value) is type(other) for other, _ in branches):
            raise InputError(f"{where}: {value}: stands there twice")
        branches.append((value, {} if inner is None else _read_options(inner, f"{where}={value}", outside)))
    return Choice(tuple(branches))


def _number(value: Any) -> float | None:
    """Return a finite number; PyYAML takes 1e-3, without a point, for a text."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


class _Loader(yaml.SafeLoader):  # type: ignore[misc]
    """Refuses a key that stands in a mapping twice; PyYAML would take the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = next((key for index, key in enumerate(keys) if key in keys[:index]), None)
        if twice is not None:
            raise yaml.constructor.ConstructorError(None, None, f"the key {twice} stands there twice", node.start_mark)
        mapping: dict[Hashable, Any] = super().construct_mapping(node, deep)
        return mapping
