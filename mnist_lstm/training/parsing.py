"""Parse the command line of ``fit``, ``validate``, ``test`` and ``predict``; a checkpoint adds its own options."""

import inspect
import sys
from pathlib import Path
from typing import Any, Literal

import torch
from jsonargparse import SUPPRESS, ArgumentError, Namespace
from jsonargparse.typing import NonNegativeFloat, NonNegativeInt, register_type
from lightning.pytorch import Trainer
from lightning.pytorch.cli import ArgsType, LightningArgumentParser, LightningCLI

from mnist_lstm.console import printable
from mnist_lstm.errors import InputError
from mnist_lstm.training import processes
from mnist_lstm.training.data_module import MNISTDataModule
from mnist_lstm.training.module import DigitClassifier
from mnist_lstm.training.options import COMMANDS, CUSTOM_CLASSES, TRAINER_DEFAULTS, explain_parser_error, runs_folder
from mnist_lstm.training.resume import Checkpoint, insert_after_configs
from mnist_lstm.training.slurm import requeued_checkpoint

register_type(torch.device)  # StochasticWeightAveraging's default; config.yaml keeps it as text


class ParsingCLI(LightningCLI):
    """LightningCLI with this project's options; the first argument is the command."""

    checkpoint: Checkpoint | None = None  # from --ckpt_path; its options are in the config
    is_requeued: bool = False  # by SLURM: then the checkpoint is that of the job's run

    def __init__(self, args: list[str]) -> None:
        command = self._command = args[0]
        strict: dict[str, Any] = {"allow_abbrev": False, "exit_on_error": False}
        usage = f"mnist-lstm {command} [-h] [--config FILE] [OPTION ...]"
        of_command = strict | {"description": f"{COMMANDS[command]}\n\n{CUSTOM_CLASSES}", "usage": usage}
        super().__init__(
            DigitClassifier,
            MNISTDataModule,
            args=args,
            save_config_callback=None,  # it writes where the logger does; `fit` writes to the run's folder
            seed_everything_default=0,
            trainer_defaults=TRAINER_DEFAULTS,
            parser_kwargs=strict | {command: of_command},
            auto_configure_optimizers=False,
            # hyper-parameters are plain values: checkpoints need not name code that builds objects
            load_from_checkpoint_support=False,
        )

    def subcommands(self) -> dict[str, set[str]]:  # type: ignore[override]
        """Return the command with the arguments of the trainer's method: none of them is an option here.

        The others are not run, and making a parser takes as long as an import.
        """
        return {self._command: set(inspect.signature(getattr(Trainer, self._command)).parameters)}

    def _prepare_subcommand_parser(self, klass: type, subcommand: str, **kwargs: Any) -> LightningArgumentParser:
        parser = super()._prepare_subcommand_parser(klass, subcommand, **kwargs)
        parser.add_argument(
            "--float32_matmul_precision",
            type=Literal["highest", "high", "medium"],
            default="highest",
            help="Precision of float32 products on a GPU: high uses TF32, which is faster and rounds to 10 bits.",
        )
        # every command reads the config that `fit` saves; help shows these options where they have an effect
        for name, kind, default, text in (
            ("--test_after_fit", bool, True, "Test the best checkpoint once, after training."),
            (
                "--pictures_every_n_epochs",
                NonNegativeInt,
                5,
                "Draw the confusion matrix and the worst mistakes in validation for TensorBoard; 0: never.",
            ),
            (
                "--explain_every_n_epochs",
                NonNegativeInt,
                0,
                "Draw what the network does with three validation digits for TensorBoard; takes seconds. 0: never.",
            ),
            (
                "--checkpoint_every_n_steps",
                NonNegativeInt,
                0,
                "Save last.ckpt every so many steps too, not only after each epoch; 0: never.",
            ),
            (
                "--checkpoint_every_n_minutes",
                NonNegativeFloat,
                0.0,
                "Save last.ckpt every so many minutes too; 0: never.",
            ),
        ):
            parser.add_argument(name, type=kind, default=default, help=text if subcommand == "fit" else SUPPRESS)
        parser.add_argument(
            "--ckpt_path",
            type=str | None,
            default=None,
            help=f"Checkpoint to {'resume' if subcommand == 'fit' else subcommand.replace('predict', 'predict with')}: "
            "a file, or last or best: of the run whose config.yaml is given, else of the newest run.",
        )
        if subcommand == "predict":
            parser.add_argument(
                "--output", type=str | None, default=None, help="New CSV file to write; default: standard output."
            )
        return parser

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        """Parse; a checkpoint's options override configs and are overridden by the command line."""
        assert isinstance(args, list)
        self.config = without = self._parse(parser, args)
        command = self.config.subcommand
        options = self.config[command]
        if command == "fit":
            requeued = requeued_checkpoint(runs_folder(options))
            self.is_requeued = requeued is not None
            options.ckpt_path = requeued or options.ckpt_path
        if options.ckpt_path is None:
            if command != "fit":
                raise InputError(
                    f"{command} needs a trained network: --ckpt_path FILE, or last or best of the newest run"
                )
            return
        configs = [Path(str(config)) for config in options.get("config") or []]
        self.checkpoint = Checkpoint(str(options.ckpt_path), runs_folder(options), configs, to_resume=command == "fit")
        self.config = self._parse(parser, insert_after_configs(args, self.checkpoint.arguments()))
        self.config[command].ckpt_path = str(self.checkpoint.path)
        lines = [f"checkpoint  {self.checkpoint.path}"]
        if command == "fit":
            lines += self.checkpoint.describe_options(without[command], self.config[command])
        for line in lines if processes.is_first() else ():
            print(printable(line), file=sys.stderr)

    def _parse(self, parser: LightningArgumentParser, args: list[str]) -> Namespace:
        try:
            return parser.parse_args(args)
        except ArgumentError as error:
            known = self._parser(args[0])._option_string_actions
            raise InputError(explain_parser_error(str(error), list(known))) from error

    def _parse_ckpt_path(self) -> None:
        """Skip LightningCLI's own reading of the checkpoint, which overrides the command line."""
