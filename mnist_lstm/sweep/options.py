"""The options of `fit` that a sweep is made with: parsed once, and checked with every end of the search space."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import yaml

from mnist_lstm.errors import InputError
from mnist_lstm.sweep.space import Options, Space, corners
from mnist_lstm.training.data_module import MNISTDataModule
from mnist_lstm.training.module import DigitClassifier
from mnist_lstm.training.options import check_options
from mnist_lstm.training.parsing import ParsingCLI

NOT_SEARCHED = {
    "config": "give it on the command line",
    "ckpt_path": "a trial starts with new weights",
    "seed_everything": "a seed is no recipe; --seeds trains the best options with several",
    "test_after_fit": "a sweep never looks at the test set",
    **{
        f"data.{name}": "trials would be compared on different images"
        for name in ("dataset", "val_size", "split", "split_seed", "data_dir", "archives", "mirror", "predict_images")
    },
    **{f"trainer.{name}": "trials are processes of their own" for name in ("devices", "num_nodes", "strategy")},
    "trainer.default_root_dir": "give it on the command line",
    "trainer.logger": "give it on the command line",
    "trainer.fast_dev_run": "a trial is a whole run",
    "trainer.limit_val_batches": "trials would be compared on different images",
}
"""Options that no space may have, and why."""

OF_THE_MACHINE = (
    *("data.data_dir", "data.archives", "data.mirror", "data.num_workers", "data.on_device"),
    *("trainer.default_root_dir", "trainer.accelerator", "trainer.devices"),
)
"""Options in which workers of the same sweep may differ."""


class FitOptions(ParsingCLI):
    """The command line of `fit` without its run.

    Args:
        args: arguments after ``fit``.
    """

    def __init__(self, args: list[str]) -> None:
        self.args = args
        super().__init__(["fit", *args])
        if self.checkpoint is not None:
            raise InputError(f"--ckpt_path: {NOT_SEARCHED['ckpt_path']}")
        options = self.config.fit
        if options.data.dataset == "auto":
            raise InputError("--data.dataset auto: workers could train on different images; give mnist or digits")
        if options.data.val_size == 0:
            raise InputError("--data.val_size 0: a sweep compares by validation images, and there would be none")
        if options.trainer.fast_dev_run:
            raise InputError("--trainer.fast_dev_run: a trial is a whole run; give a small --trainer.max_epochs")
        if not isinstance(options.seed_everything, int) or isinstance(options.seed_everything, bool):
            raise InputError(f"--seed_everything {options.seed_everything}: must be a number")
        self.seed: int = options.seed_everything
        self.max_epochs: int | None = options.trainer.max_epochs
        self._check([])

    def _set_seed(self) -> None:
        """Draw nothing."""

    def instantiate_classes(self) -> None:
        """Build nothing."""

    def _run_subcommand(self, subcommand: str) -> None:
        """Run nothing."""

    def check_space(self, space: Space, file: Path, metric: str) -> None:
        """Refuse a space with an option or a value that `fit` would refuse; the error names file and option."""
        for option, options in corners(space):
            why = NOT_SEARCHED.get(option)
            if option == "model.label_smoothing" and metric == "val/loss":
                why = "it changes what the loss means; take --metric acc"
            if why:
                raise InputError(f"{file}: {option}: cannot be searched: {why}")
            try:
                self._check(arguments(options))
            except InputError as error:
                raise InputError(f"{file}: {option}: {error}") from error

    def recipe(self) -> dict[str, Any]:
        """Return all options but those of the machine, by their dotted names."""
        content = yaml.safe_load(self._parser("fit").dump(self.config.fit, skip_none=False))
        content.pop("config", None)
        return {name: value for name, value in _flat(content).items() if name not in OF_THE_MACHINE}

    def _check(self, args: list[str]) -> None:
        options = self._parse(self.parser, ["fit", *self.args, *args]).fit
        check_options(options)
        with torch.device("meta"):  # weights would take most of the time
            DigitClassifier(**options.model.as_dict())
        MNISTDataModule(**options.data.as_dict())


def arguments(options: Options) -> list[str]:
    """Return options as arguments of `fit`."""
    return [f"--{name}={value if isinstance(value, str) else json.dumps(value)}" for name, value in options.items()]


def _flat(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in content.items():
        if isinstance(value, dict) and value and prefix.count(".") < 1:
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat
