"""``mnist-lstm fit | validate | test | predict``: LightningCLI around the data module and the classifier."""

import contextlib
import logging
import os
import shlex
import sys
import time
import warnings
from pathlib import Path
from typing import Any, Literal

import torch
from jsonargparse import SUPPRESS, Namespace
from jsonargparse.typing import NonNegativeInt
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import LambdaCallback, LearningRateMonitor, ProgressBar
from lightning.pytorch.cli import ArgsType, LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only
from rich.console import Console
from rich.panel import Panel
from rich.text import Text

from mnist_lstm import figures, report
from mnist_lstm.callbacks import (
    BarProgress,
    BestCheckpoint,
    CSVPredictions,
    Explanations,
    HyperParameters,
    LastCheckpoint,
    Pictures,
    PlainProgress,
)
from mnist_lstm.checkpoint_options import data_options, with_checkpoint_options
from mnist_lstm.data import MNISTDataModule
from mnist_lstm.errors import InputError, printable
from mnist_lstm.inference.checkpoint import read_checkpoint
from mnist_lstm.mnist_format import CLASS_NAMES, SIZE
from mnist_lstm.module import DigitClassifier
from mnist_lstm.outputs import open_new
from mnist_lstm.processor import lacks_bfloat16, training_threads
from mnist_lstm.profiler import NoProfiler
from mnist_lstm.runs import find_checkpoint, new_run

TRAINER_DEFAULTS: dict[str, Any] = {
    # validation accuracy is flat by then; two to three minutes on two cores
    "max_epochs": 12,
    # the network is far too small to share out between devices
    "devices": 1,
    # recurrent networks' gradients explode now and then (Pascanu et al. 2013)
    "gradient_clip_val": 1.0,
    # one line of our own says more than a table of one network and three metrics
    "enable_model_summary": False,
}
"""What differs from Lightning's own defaults."""

COMMANDS = {
    "fit": "Train a classifier, then test its best checkpoint.",
    "validate": "Tell a checkpoint's accuracy on the validation images.",
    "test": "Tell a checkpoint's accuracy on the test images.",
    "predict": "Classify the test images, or those of an IDX file, and print CSV lines.",
}


class MNISTCLI(LightningCLI):
    """LightningCLI with this project's run folders, checkpoints, logging and final test.

    Args:
        args: the command line without the program's name; the first is the subcommand.
    """

    def __init__(self, args: list[str]) -> None:
        self.run: Path | None = None
        self.steps_done = 0
        super().__init__(
            DigitClassifier,
            MNISTDataModule,
            args=args,
            save_config_callback=None,  # it writes where the logger does; `fit` writes into the run's folder
            seed_everything_default=0,
            trainer_defaults=TRAINER_DEFAULTS,
            parser_kwargs={
                command: {
                    "description": description,
                    "usage": f"mnist-lstm {command} [-h] [--config FILE] [OPTION ...]",
                }
                for command, description in COMMANDS.items()
            },
            auto_configure_optimizers=False,
            # the hyper-parameters are plain values: a checkpoint need not name code that builds objects
            load_from_checkpoint_support=False,
        )

    # the options

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """Name the commands, each with the arguments of the trainer's method that are no options here."""
        hidden = {"model", "datamodule", "dataloaders", "weights_only", "verbose", "return_predictions"}
        return {
            "fit": hidden | {"train_dataloaders", "val_dataloaders"},
            "validate": hidden,
            "test": hidden,
            "predict": hidden,
        }

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add what every command has beside trainer, model and data."""
        parser.link_arguments("data.dataset", "model.dataset")
        parser.add_argument(
            "--float32_matmul_precision",
            type=Literal["highest", "high", "medium"],
            default="highest",
            help="Of float32 products on a GPU: high uses TF32, which is faster and rounds to 10 bits.",
        )

    def _prepare_subcommand_parser(self, klass: type, subcommand: str, **kwargs: Any) -> LightningArgumentParser:
        parser = super()._prepare_subcommand_parser(klass, subcommand, **kwargs)
        # every command takes the config that `fit` saves; the help shows these options where they have an effect
        for name, kind, default, text in (
            ("--test_after_fit", bool, True, "Test the best checkpoint once when training has ended."),
            (
                "--pictures_every_n_epochs",
                NonNegativeInt,
                5,
                "Confusion matrix and worst validation mistakes in TensorBoard; 0 leaves these pictures out.",
            ),
            (
                "--explain_every_n_epochs",
                NonNegativeInt,
                0,
                "What the network does with three validation digits, row by row; takes some seconds a time. 0: never.",
            ),
        ):
            parser.add_argument(name, type=kind, default=default, help=text if subcommand == "fit" else SUPPRESS)
        if subcommand == "predict":
            parser.add_argument(
                "--output", type=str | None, default=None, help="New CSV file to write; default: print the lines."
            )
        return parser

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        """Parse the command line; options of a checkpoint count more than configs and less than the command line."""
        assert isinstance(args, list)
        self.config = parser.parse_args(args)
        subcommand = self.config.subcommand
        options = self.config[subcommand]
        if options.ckpt_path is None:
            if subcommand != "fit":
                raise InputError(
                    f"{subcommand} needs a trained network: --ckpt_path FILE, or last or best of the newest run"
                )
            return
        path = find_checkpoint(options.ckpt_path, self._runs(options))
        self.config = parser.parse_args(with_checkpoint_options(args, path))
        self.config[subcommand].ckpt_path = str(path)
        print(f"checkpoint {printable(str(path))}", file=sys.stderr)

    def _parse_ckpt_path(self) -> None:
        """Leave out LightningCLI's own reading of the checkpoint, which overrides the command line."""

    # before the run

    def before_instantiate_classes(self) -> None:
        """Find out early whether the network fits the images and the device is there."""
        options = self.config[self.config.subcommand]
        if options.model.input_size != SIZE or options.model.num_classes != len(CLASS_NAMES):
            raise InputError(
                f"--model.input_size {options.model.input_size} --model.num_classes {options.model.num_classes}: "
                f"the digits here have {SIZE} pixels a row and {len(CLASS_NAMES)} classes"
            )
        _check_accelerator(options.trainer.accelerator)
        torch.set_float32_matmul_precision(options.float32_matmul_precision)

    @rank_zero_only
    def _settle_dataset(self) -> None:
        """Fetch the data before a run folder is named after them, and say so if they are not those asked for."""
        options = self.config[self.subcommand]
        if options.data.dataset != "auto":
            self.datamodule.prepare_data()
            return
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            self.datamodule.prepare_data()
        if self.datamodule.dataset != "mnist":
            why = " ".join(str(warning.message) for warning in caught)
            panel = Panel(Text(printable(why)), title="THIS RUN DOES NOT USE MNIST", border_style="bold yellow")
            Console(stderr=True).print(panel)
        options.data.dataset = options.model.dataset = self.datamodule.dataset

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Build the trainer with this project's callbacks; for `fit`, with a new run folder."""
        options = self._get(self.config_init, "trainer")
        ckpt_path = self._get(self.config, "ckpt_path")
        checkpoint = self._load_weights(Path(ckpt_path)) if ckpt_path is not None else None
        if self.subcommand != "predict" or self.datamodule.predict_images is None:
            self._settle_dataset()
        if self.subcommand == "fit" and checkpoint is not None:
            self._check_resumable(checkpoint, Path(ckpt_path))
        callbacks = _as_list(options["callbacks"])
        if not any(isinstance(callback, ProgressBar) for callback in callbacks):
            bar, kwargs["enable_progress_bar"] = _progress(options["enable_progress_bar"], self.subcommand)
            callbacks += bar
        if options["profiler"] is None:
            kwargs["profiler"] = NoProfiler()
        if self.subcommand != "fit":
            kwargs |= {"logger": options["logger"] or False, "enable_checkpointing": False, "callbacks": callbacks}
            return super().instantiate_trainer(**kwargs)

        validates = self.datamodule.hparams["val_size"] != 0
        if self.config.fit.explain_every_n_epochs and not validates:
            raise InputError(
                f"--explain_every_n_epochs {self.config.fit.explain_every_n_epochs}: shows validation digits, and with "
                "--data.val_size 0 there are none"
            )
        if not validates:
            kwargs["limit_val_batches"] = 0
            # a fast dev run asks for a batch all the same, and warns that there is none
            warnings.filterwarnings("ignore", message="Total length of .* across ranks is zero")
        if options["fast_dev_run"]:
            return super().instantiate_trainer(callbacks=callbacks, **kwargs)
        dataset = self.config.fit.data.dataset
        runs = self._runs(self.config.fit)
        self.run = new_run(runs, dataset) if _is_rank_zero() else runs / dataset / "another process has it"
        try:
            if options["logger"] in (None, True):
                kwargs["logger"] = TensorBoardLogger(runs, dataset, version=self.run.name, default_hp_metric=False)
            if options["logger"] is not False:
                callbacks += [LearningRateMonitor("step"), HyperParameters()]
                if self.config.fit.pictures_every_n_epochs:
                    callbacks.append(Pictures(self.config.fit.pictures_every_n_epochs))
                if self.config.fit.explain_every_n_epochs:
                    # the first: a moving average of the weights is taken out again by its own callback's hook
                    callbacks.insert(0, Explanations(self.config.fit.explain_every_n_epochs))
            if options["enable_checkpointing"] is not False:
                # in this order: what is kept as the last knows which is the best
                folder = self.run / "checkpoints"
                best = [BestCheckpoint(folder, ckpt_path and Path(ckpt_path))] if validates else []
                callbacks += [*best, LastCheckpoint(folder)]
            trainer = super().instantiate_trainer(callbacks=callbacks, **kwargs)
        except BaseException:
            with contextlib.suppress(OSError):
                self.run.rmdir()  # nothing is in it yet
            raise
        return trainer

    def _load_weights(self, path: Path) -> dict[str, Any]:
        """Put the checkpoint's weights into the model (averaged ones, where `fit` has averaged them).

        For `fit`, Lightning loads them again with the rest of the run's state; here they are checked before a run
        folder is made.
        """
        checkpoint = read_checkpoint(path)
        try:
            self.model.load_state_dict(checkpoint["state_dict"])
        except RuntimeError as error:
            first = str(error).splitlines()[1].strip()
            raise InputError(
                f"{path}: its weights do not fit the network that the options describe: {first}"
            ) from error
        return checkpoint

    def _check_resumable(self, checkpoint: dict[str, Any], path: Path) -> None:
        try:
            epochs = checkpoint["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"]
            self.steps_done = checkpoint["global_step"]
        except (KeyError, TypeError) as error:
            raise InputError(f"{path}: holds weights but not the state of a run, so none can be resumed") from error
        trained_on = data_options(checkpoint)
        for name in ("dataset", "val_size", "split", "split_seed"):
            was, now = (hparams.get(name) for hparams in (trained_on, self.datamodule.hparams))
            if trained_on and was != now:
                raise InputError(
                    f"{path}: a run with --data.{name} {was} cannot go on with {now}: what was learnt and what was "
                    "best there are of other images; start a new one without --ckpt_path"
                )
        trainer = self.config.fit.trainer
        if trainer.max_epochs is not None and 0 <= trainer.max_epochs <= epochs:
            raise InputError(
                f"{path}: has been trained for {epochs} epochs already; "
                f"give more, such as --trainer.max_epochs {2 * epochs}"
            )
        if 0 <= trainer.max_steps <= self.steps_done:
            raise InputError(
                f"{path}: has been trained for {self.steps_done:,} steps already; "
                f"give more, such as --trainer.max_steps {2 * self.steps_done}"
            )

    @staticmethod
    def _runs(options: Namespace) -> Path:
        return Path(options.trainer.default_root_dir or ".").expanduser() / "runs"

    # the commands

    def fit(self, **kwargs: Any) -> None:
        """Train, test the best checkpoint once, and say what has come of it."""
        run = self.run if self.trainer.is_global_zero else None
        if run is not None:
            # without the checkpoint it goes on from: this config is also given to commands that test the new one
            config = self.config.fit.clone()
            config.ckpt_path = None
            self._parser("fit").save(config, str(run / "config.yaml"), skip_none=False)
            print(f"network     {self.model.describe()}", flush=True)
        threads = torch.get_num_threads()
        if self.trainer.strategy.root_device.type == "cpu":
            self._suit_the_cpu()
        start = time.perf_counter()
        try:
            self._train(**kwargs)
        except SystemExit:  # so Lightning ends a run that is interrupted
            if run is not None and (run / "checkpoints" / "last.ckpt").is_file():
                print(f"go on with: {report.resume_command(run)}", file=sys.stderr)
            raise
        finally:
            torch.set_num_threads(threads)
            curves = report.draw_curves(run, f"{run.parent.name}, {run.name}") if run is not None else None
        seconds = time.perf_counter() - start
        if torch.distributed.is_initialized():
            # the final test is the first process's alone
            torch.distributed.barrier()
            torch.distributed.destroy_process_group()
        if run is not None:
            self._conclude(run, seconds, curves)

    def _suit_the_cpu(self) -> None:
        """Take as many threads as pay, and say so if the precision does not."""
        rnn = self.model.model.rnn
        threads = training_threads(self.datamodule.hparams["batch_size"], rnn.input_size, rnn.hidden_size)
        torch.set_num_threads(threads)
        if str(self.trainer.precision).startswith("bf16") and lacks_bfloat16() and _is_rank_zero():
            print(
                f"mnist-lstm: warning: --trainer.precision {self.trainer.precision} is slower than 32-true here: this "
                "CPU has neither AMX nor AVX512-BF16; take --config configs/cpu.yaml",
                file=sys.stderr,
            )

    def _train(self, **kwargs: Any) -> None:
        if kwargs["ckpt_path"] is None:
            self.trainer.fit(weights_only=True, **kwargs)
            return
        started: list[bool] = []
        restored = LambdaCallback(on_train_start=lambda *_: started.append(True))
        self.trainer.callbacks.append(restored)  # type: ignore[attr-defined]
        try:
            self.trainer.fit(weights_only=True, **kwargs)
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            if started or isinstance(error, InputError):
                raise
            raise InputError(f"{kwargs['ckpt_path']}: the state of its run is damaged ({error!r})") from error

    def validate(self, **kwargs: Any) -> None:
        """Print the accuracy on the validation images."""
        if self.datamodule.hparams["val_size"] == 0:
            raise InputError("--data.val_size 0: the network was trained on all images; none is left to validate it on")
        (metrics,) = self.trainer.validate(self.model, datamodule=self.datamodule, verbose=False)
        report.print_accuracy("validation", metrics["val/acc"])

    def test(self, **kwargs: Any) -> None:
        """Print what was taken for what on the test images, and the accuracy."""
        (metrics,) = self.trainer.test(self.model, datamodule=self.datamodule, verbose=False)
        report.print_confusion(self.model.test_confusion.compute())
        report.print_accuracy("test", metrics["test/acc"])

    def predict(self, **kwargs: Any) -> None:
        """Write the predictions as they come."""
        output = self.config.predict.output
        self.datamodule.setup("predict")  # an unreadable file shows before the output is made
        with open_new(Path(output), "--output") if output else contextlib.nullcontext(sys.stdout) as file:
            self.trainer.callbacks.append(CSVPredictions(file))  # type: ignore[attr-defined]
            self.trainer.predict(self.model, datamodule=self.datamodule, return_predictions=False)
            file.flush()

    # after training

    def _conclude(self, run: Path, seconds: float, curves: Path | None) -> None:
        dataset = self.config.fit.data.dataset
        # the best, or the last of a run without validation
        ours = (c for c in self.trainer.checkpoint_callbacks if isinstance(c, BestCheckpoint | LastCheckpoint))
        kept = next((c for c in ours if c.best_model_path), None)
        checkpoint = Path(os.path.relpath(kept.best_model_path)) if kept else None
        accuracy = self._test(checkpoint) if checkpoint and self.config.fit.test_after_fit else None

        lines = {
            "dataset": dataset if dataset == "mnist" else f"{dataset} (not MNIST)",
            "training": f"{self.trainer.global_step - self.steps_done:,} steps in {seconds:.0f} s; "
            f"{self.trainer.current_epoch} epochs in all",
        }
        if kept:
            score = kept.best_model_score
            lines["validation"] = (
                "none; this is the last epoch" if score is None else f"{report.percent(score)} (best epoch)"
            )
        if accuracy is not None:
            lines["test"] = report.percent(accuracy)
        lines["checkpoint"] = str(checkpoint or "none: they are switched off")
        lines["logs"] = os.path.relpath(run)
        if curves:
            lines["curves"] = os.path.relpath(curves)
        print()
        data_dir = self.config.fit.data.data_dir
        elsewhere = dataset == "mnist" and data_dir != self._parser("fit").get_default("data.data_dir")
        options = f" --data.data_dir {shlex.quote(data_dir)}" if elsewhere else ""
        report.print_lines(lines | report.next_steps(self._runs(self.config.fit), checkpoint, options))
        if accuracy is not None:
            print()
            report.print_accuracy("test", accuracy)

    def _test(self, checkpoint: Path) -> float:
        """Test in a fresh trainer, as ``mnist-lstm test`` does: in float32, with the weights that the file holds.

        The trainer that has trained would test the raw weights where the file holds averaged ones.
        """
        bar, enabled = _progress(self.trainer.progress_bar_callback is not None, "test")
        trainer = Trainer(
            accelerator=self._get(self.config_init, "trainer")["accelerator"],
            devices=1,
            logger=False,
            callbacks=bar,
            enable_progress_bar=enabled,
            enable_checkpointing=False,
            enable_model_summary=False,
        )
        model = DigitClassifier.load_from_checkpoint(checkpoint, map_location="cpu", weights_only=True)
        (metrics,) = trainer.test(model, datamodule=self.datamodule, verbose=False)
        if isinstance(self.trainer.logger, TensorBoardLogger):
            writer, step = self.trainer.logger.experiment, self.trainer.global_step
            for name, value in metrics.items():
                writer.add_scalar(name, value, step)
            title = f"test: {report.percent(metrics['test/acc'])} right"
            matrix = figures.to_pixels(figures.confusion_matrix(model.test_confusion.compute(), title))
            writer.add_image("test/confusion", matrix, step, dataformats="HWC")
            writer.close()
        return metrics["test/acc"]


def quiet_lightning() -> None:
    """Leave out what Lightning says at every start and nobody can act on: exactly these messages, no others."""
    idle = ("Tip: For seamless cloud", "TPU available", "to estimate number of stepping batches")
    for package in ("pytorch", "fabric"):
        logger = logging.getLogger(f"lightning.{package}.utilities.rank_zero")
        logger.addFilter(lambda record: not any(text in record.getMessage() for text in idle))
    # Lightning's own use of PyTorch's tree functions
    warnings.filterwarnings("ignore", message=".*isinstance.treespec, LeafSpec.* is deprecated")


def _check_accelerator(accelerator: Any) -> None:
    available = {
        "gpu": torch.cuda.is_available() or torch.backends.mps.is_available(),
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
    }
    if not available.get(str(accelerator), True):
        raise InputError(
            f"--trainer.accelerator {accelerator}: this machine has none that PyTorch {torch.__version__} can use; "
            "take --config configs/cpu.yaml, or --trainer.accelerator auto"
        )


def _progress(enabled: bool | None, command: str | None) -> tuple[list[Callback], bool]:
    """Choose how progress is shown: a bar on a terminal, lines elsewhere, nothing if it is switched off."""
    if enabled is False:
        return [], False
    # the CSV lines of predict go to standard output, where a bar would be drawn between them
    if sys.stdout.isatty() and command != "predict":
        return [BarProgress()], True
    return ([PlainProgress()] if command == "fit" else []), False


def _is_rank_zero() -> bool:
    return rank_zero_only.rank == 0  # type: ignore[attr-defined, no-any-return]


def _as_list(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]
