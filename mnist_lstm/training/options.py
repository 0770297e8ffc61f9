"""Defaults and checks of the options of ``fit``, ``validate``, ``test`` and ``predict``."""

import difflib
import re
from pathlib import Path
from typing import Any

import torch
from jsonargparse import Namespace

from mnist_lstm.data.format import CLASS_NAMES, SIZE
from mnist_lstm.errors import InputError
from mnist_lstm.network.options import RENAMED

TRAINER_DEFAULTS: dict[str, Any] = {
    # validation accuracy is flat by then; two to three minutes on two cores
    "max_epochs": 12,
    # the network is far too small to be split over devices
    "devices": 1,
    # gradients of recurrent networks explode now and then (Pascanu et al. 2013)
    "gradient_clip_val": 1.0,
    # one line says more than a table of one network and three metrics
    "enable_model_summary": False,
}
"""Where they differ from Lightning's."""

COMMANDS = {
    "fit": "Train a classifier, then test its best checkpoint.",
    "validate": "Print a checkpoint's accuracy on the validation images.",
    "test": "Print a checkpoint's accuracy on the test images.",
    "predict": "Classify the test images, or those of an IDX file, and print CSV lines.",
}

PRECISIONS = ("32-true", "bf16-mixed", "16-mixed", "32", "bf16", "16")
"""Lightning's precisions with weights in float32; the last three are former names of the first three."""

CUSTOM_CLASSES = (
    "Configs may come from anyone: they may name the callbacks, loggers, profilers, strategies, plugins and "
    "accelerators of Lightning and of this project, and what is in torch.optim. --allow_custom_classes PACKAGE, on the "
    "command line and for each package, lets them import and call anything in a package of yours. What a config names "
    "may still write, overwrite and remove files and, with some loggers, send what a run has to an address: read it "
    "before you run it."
)
"""Part of each command's help."""

PARSER_MESSAGES = {
    r"Importing '([\w.]+)' is not allowed": (
        "{0}: is none of the classes of Lightning, torch.optim and mnist_lstm that a config may name, and importing it "
        "would run code; if you trust it, add --allow_custom_classes with its package"
    ),
    r'Parser key "([\w.+]+)": .*Expected a dot import path string: (\S+)': (
        "--{0} {1}: no such class; give its name, such as EarlyStopping, or its import path"
    ),
    r"""Parser key "([\w.+]+)": Expected a <class '(\w+)'>\. Got value: (.*)""": "--{0} {2}: expected {1}",
    r'Parser key "([\w.+]+)": (.*)': "--{0}: {1}",
}
"""What jsonargparse says, and what is printed."""


MAX_MESSAGE = 2000
"""Characters of a message: some repeat the whole value."""


def check_options(options: Namespace) -> None:
    """Refuse options that need another network, another machine, or validation images."""
    model, trainer = options.model, options.trainer
    if model.input_size != SIZE or model.num_classes != len(CLASS_NAMES):
        raise InputError(
            f"--model.input_size {model.input_size} --model.num_classes {model.num_classes}: digits here have {SIZE} "
            f"pixels per row and {len(CLASS_NAMES)} classes"
        )
    if trainer.precision is not None:
        check_precision("--trainer.precision", trainer.precision)
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    available["gpu"] = any(available.values())
    if not available.get(str(trainer.accelerator), True):
        raise InputError(
            f"--trainer.accelerator {trainer.accelerator}: this machine has none that PyTorch {torch.__version__} can "
            "use; take --config configs/cpu.yaml, or --trainer.accelerator auto"
        )
    if options.get("explain_every_n_epochs") and options.data.val_size == 0:
        raise InputError(
            f"--explain_every_n_epochs {options.explain_every_n_epochs}: draws validation digits; "
            "with --data.val_size 0 there are none"
        )
    for name in ("checkpoint_every_n_steps", "checkpoint_every_n_minutes"):
        if options.get(name) and trainer.enable_checkpointing is False:
            raise InputError(f"--{name} {options[name]}: with --trainer.enable_checkpointing false there are none")


def check_precision(option: str, precision: str | int) -> None:
    """Refuse a precision whose weights are not float32."""
    if str(precision) not in PRECISIONS:
        raise InputError(
            f"{option} {precision}: images are float32 here, and so must the weights be; take 32-true or bf16-mixed, "
            "or 16-mixed on a GPU"
        )


def runs_folder(options: Namespace) -> Path:
    """Return the folder of all runs."""
    return Path(options.trainer.default_root_dir or ".").expanduser() / "runs"


def explain_parser_error(message: str, known: list[str]) -> str:
    """Turn the parser's message into one line; suggest an option for an unknown one."""
    message = " ".join(message.split())
    unknown = re.search(r"[Uu]nrecognized arguments: (-[^\s=]+)", message)
    if unknown is None:
        for pattern, text in PARSER_MESSAGES.items():
            found = re.search(pattern, message)
            if found:
                return text.format(*found.groups())[:MAX_MESSAGE]
        return message[:MAX_MESSAGE]
    option = unknown[1]
    name = option.removeprefix("--model.")
    if name in RENAMED:
        return f"unknown option {option}; it is --model.{RENAMED[name]} now"
    close = difflib.get_close_matches(option, known, n=1)
    return f"unknown option {option}" + (f"; did you mean {close[0]}?" if close else "; see --help")
