"""Configs may come from anyone: bound what a config may name, and how large it may be.

A config's ``class_path`` imports a module and calls what it finds there, and a function may be given by its path as
well. Only the kinds of classes that the trainer takes are allowed, whatever way leads to them (a config, an option, a
short name, one name for another); jsonargparse refuses all others before it imports anything. ``--allow_custom_classes
PACKAGE`` adds a package. It is no option of the parser, so that no config can set it.
"""

import argparse
import stat
from pathlib import Path
from typing import Any

import jsonargparse
import yaml

from mnist_lstm.errors import InputError

OPTION = "--allow_custom_classes"

ALLOWED = [
    *(f"lightning.pytorch.{kind}" for kind in ("accelerators", "callbacks", "loggers", "plugins")),
    *("lightning.pytorch.profilers", "lightning.pytorch.strategies"),
    "lightning.fabric.plugins",  # where some of lightning.pytorch.plugins are defined
    "lightning.Callback",  # as jsonargparse calls the base class
    "torch.optim",  # functions that average weights
    "mnist_lstm.training.callbacks",
]
"""What a config may name. Nothing in these modules runs code that it is given as text, or loads a pickle."""

DENIED = [
    "lightning.fabric.plugins.precision.utils",  # imports what it is told to
    "lightning.pytorch.callbacks.OnExceptionCheckpoint",  # removes the file that it has the name of
    "lightning.pytorch.callbacks.on_exception_checkpoint",
]
"""What it may not, of these: the longer entry counts."""

MAX_BYTES = 2**20  # of a config; one with all options has 4 kB
MAX_DEPTH = 32  # of lists and dictionaries in one another
MAX_VALUES = 5_000  # after its aliases are followed


def restrict_configs(args: list[str]) -> list[str]:
    """Let configs and options name nothing but `ALLOWED` and the packages that the command line allows.

    It is a setting of the whole process, and cannot be taken back.

    Returns:
        The arguments, without ``--allow_custom_classes``.

    Raises:
        InputError: a config is too large, or not a regular file; a package's name is none.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument(OPTION, action="append", default=[])
    parser.add_argument("-c", "--config", action="append", default=[])
    try:
        given, _ = parser.parse_known_args(args[1:])
    except argparse.ArgumentError as error:
        raise InputError(f"{error.argument_name}: {error.message}") from error
    for config in given.config:
        _check_file(config)
    for package in given.allow_custom_classes:
        if not all(part.isidentifier() for part in package.split(".")):
            raise InputError(f"{OPTION} {package}: name a package or module, such as my_callbacks")
        if package.split(".")[0] == "jsonargparse":
            raise InputError(f"{OPTION} {package}: is what reads the configs, and cannot be named in them")
    # LightningCLI would also read configs from the network
    jsonargparse.set_parsing_settings(
        import_path_denylist=["*", *DENIED],
        import_path_allowlist=ALLOWED + given.allow_custom_classes,
        instantiate_subclass_spec_in_any=False,
        config_read_mode_fsspec_enabled=False,
    )
    jsonargparse.set_loader("yaml", _load, exceptions=(yaml.YAMLError,))
    return _without(args, OPTION)


def _without(args: list[str], option: str) -> list[str]:
    """Return the arguments without an option that takes one value."""
    left, skip = [], False
    for arg in args:
        if not skip and arg != option and not arg.startswith(f"{option}="):
            left.append(arg)
        skip = arg == option and not skip
    return left


def _check_file(config: str) -> None:
    try:
        status = Path(config).stat()
    except (OSError, ValueError):
        return  # the parser says what is wrong with it, or reads it as YAML
    if not stat.S_ISREG(status.st_mode):
        raise InputError(f"--config {config}: is not a regular file")
    if status.st_size > MAX_BYTES:
        raise InputError(f"--config {config}: has {status.st_size:,} bytes; a config has {MAX_BYTES:,} at most")


def _is_endless(value: str) -> bool:
    """Return whether a value names something that may never be read to its end: a FIFO, a device, a socket."""
    try:
        mode = Path(value).stat().st_mode
    except (OSError, ValueError):
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


_load_yaml = jsonargparse.get_loader("yaml")


def _load(text: str) -> Any:
    """Load YAML that is neither deep nor, with its aliases followed, large."""
    if any(sign in text for sign in "[{&:?-\n\r"):  # else it is a single value
        _check_size(text)
    return _load_yaml(text)


def _check_size(text: str) -> None:
    values = 0
    open_nodes: list[tuple[str | None, int]] = []
    sizes: dict[str | None, int] = {}  # of what has an anchor
    for event in yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
        before = values
        if isinstance(event, yaml.AliasEvent):
            values += sizes.get(event.anchor, MAX_VALUES)  # an alias of what it lies in has no end
        elif isinstance(event, yaml.ScalarEvent):
            values += 1
            sizes[event.anchor] = 1
            if _is_endless(event.value):  # the parser would read it: a value may be a file with more options
                raise yaml.YAMLError(f"{event.value}: is not a regular file")
        elif isinstance(event, yaml.CollectionStartEvent):
            values += 1
            open_nodes.append((event.anchor, before))
            sizes.pop(event.anchor, None)
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, start = open_nodes.pop()
            sizes[anchor] = values - start
        if values > MAX_VALUES or len(open_nodes) > MAX_DEPTH:
            raise yaml.YAMLError(f"a config has {MAX_VALUES:,} values at most, in {MAX_DEPTH} levels")
