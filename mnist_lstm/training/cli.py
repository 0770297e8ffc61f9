"""``mnist-lstm fit | validate | test | predict``: LightningCLI around the data module and the classifier.

Parsing and assembling; what is done with the parts is in `mnist_lstm.training.run`.
"""

import contextlib
import os
import shlex
import sys
import warnings
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import CheckpointIO
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import BatchSizeFinder, LambdaCallback, LearningRateFinder, ProgressBar
from lightning.pytorch.plugins import Precision

from mnist_lstm.errors import InputError, Stopped, TrainingError, WriteError
from mnist_lstm.files import new_run, open_new
from mnist_lstm.network.checkpoint import check_weights, without_weights
from mnist_lstm.training import processes, report, run, slurm
from mnist_lstm.training.callbacks.checkpoints import LastCheckpoint
from mnist_lstm.training.callbacks.predictions import CSVPredictions
from mnist_lstm.training.callbacks.progress import progress_callbacks
from mnist_lstm.training.callbacks.tensorboard import RunLogger
from mnist_lstm.training.checkpoint_io import DurableCheckpointIO
from mnist_lstm.training.options import check_options, check_precision, runs_folder
from mnist_lstm.training.parsing import ParsingCLI
from mnist_lstm.training.quiet import quiet_lightning
from mnist_lstm.training.resume import CompleteError
from mnist_lstm.training.signals import Signals
from mnist_lstm.training.trust import restrict_configs


def main(args: list[str], signals: Signals) -> None:
    """Run the command line, without the program's name; the first argument is the command."""
    args = restrict_configs(args)
    with quiet_lightning(names_device=args[0] == "fit"):
        MNISTCLI(args, signals)


class MNISTCLI(ParsingCLI):
    """LightningCLI with this project's run folders, checkpoints and final test."""

    run_folder: Path | None = None  # of `fit`; None for other commands and for a fast dev run
    steps_before = 0  # that the checkpoint has been trained for

    def __init__(self, args: list[str], signals: Signals | None = None) -> None:
        self.signals = signals  # that are being handled
        super().__init__(args)

    def before_instantiate_classes(self) -> None:
        """Check what can be checked before anything is built."""
        options = self.config[self.subcommand]
        check_options(options)
        torch.set_float32_matmul_precision(options.float32_matmul_precision)
        if self.checkpoint is not None:
            check_weights(self.checkpoint.content, without_weights(options.model), self.checkpoint.path)

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Prepare the data, then make the run's folder and the trainer."""
        options = self.config[self.subcommand]
        if self.subcommand != "predict" or self.datamodule.predict_images is None:
            self._prepare_data()
        if self.subcommand == "fit":
            if self.checkpoint is not None:
                try:
                    self.steps_before = self.checkpoint.check_resumable(options.data, options.trainer)
                except CompleteError as error:
                    if not self.is_requeued:
                        raise
                    use = f"mnist-lstm test --ckpt_path {shlex.quote(str(self.checkpoint.path))}"
                    print(f"mnist-lstm: nothing is left to train: {error}; to test it: {use}", file=sys.stderr)
                    raise SystemExit(0) from None
            if not options.trainer.fast_dev_run:
                name = options.data.dataset
                # Lightning gives the other processes the folder of the first one, where they look for it
                runs = runs_folder(options)
                self.run_folder = new_run(runs, name) if processes.is_first() else runs / name / "-"
        try:
            return super().instantiate_trainer(**self._trainer_options(), **kwargs)
        except BaseException:
            if self.run_folder is not None:
                with contextlib.suppress(OSError):
                    self.run_folder.rmdir()  # nothing is in it yet
            raise

    def after_instantiate_classes(self) -> None:
        """Load the weights to validate, test or predict with; a resumed `fit` restores its whole state."""
        processes.check_strategy(self.trainer)
        if self.checkpoint is not None and self.subcommand != "fit":
            self.model.load_state_dict(self.checkpoint.content["state_dict"])

    def _prepare_data(self) -> None:
        """Download MNIST if it is missing; show in a box if a run falls back to other digits."""
        if not processes.is_first():
            return
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "MNIST is unavailable")  # the box says the same
            self.datamodule.prepare_data()
        if self.datamodule.fallback_reason:
            report.print_fallback(self.datamodule.fallback_reason)
        self.config[self.subcommand].data.dataset = self.datamodule.dataset

    def _trainer_options(self) -> dict[str, Any]:
        """Return options of the trainer that replace those of the config: callbacks, logger and more."""
        given = self._get(self.config_init, "trainer")
        callbacks = given["callbacks"] or []
        callbacks = list(callbacks) if isinstance(callbacks, list) else [callbacks]
        plugins = given["plugins"] or []
        plugins = list(plugins) if isinstance(plugins, list) else [plugins]
        if any(isinstance(plugin, CheckpointIO) for plugin in plugins):
            raise InputError("--trainer.plugins: checkpoints are written by mnist-lstm itself; leave CheckpointIO out")
        for plugin in plugins:
            if isinstance(plugin, Precision):
                check_precision(f"--trainer.plugins {type(plugin).__name__}:", plugin.precision)
        plugins.append(DurableCheckpointIO())
        options: dict[str, Any] = {"callbacks": callbacks, "plugins": plugins, "use_distributed_sampler": False}
        options |= processes.launched_devices(given["devices"], given["num_nodes"])
        if not any(isinstance(callback, ProgressBar) for callback in callbacks):
            progress, has_bar = progress_callbacks(given["enable_progress_bar"], str(self.subcommand))
            callbacks += progress
            options["enable_progress_bar"] = has_bar
        finders = (LearningRateFinder, BatchSizeFinder)
        if self.checkpoint is not None and any(isinstance(callback, finders) for callback in callbacks):
            raise InputError("--ckpt_path: LearningRateFinder and BatchSizeFinder start from step 0; leave them out")
        if self.subcommand != "fit":
            return options | {"logger": given["logger"] or False, "enable_checkpointing": False}
        validates = self.datamodule.hparams["val_size"] != 0
        if not validates:
            options["limit_val_batches"] = 0
        folder, own = self.run_folder, self.config.fit
        if folder is not None:
            if given["logger"] in (None, True):
                options["logger"] = RunLogger(folder.parent, "", folder.name, default_hp_metric=False)
            callbacks.append(LambdaCallback(setup=lambda trainer, *_, **__: _write_config(self, trainer, folder)))
            shown = ("max_epochs", "precision", "gradient_clip_val")
            callbacks += run.run_callbacks(
                folder,
                logs=given["logger"] is not False,
                checkpoints=given["enable_checkpointing"] is not False,
                validates=validates,
                pictures_every_n_epochs=own.pictures_every_n_epochs,
                explain_every_n_epochs=own.explain_every_n_epochs,
                checkpoint_every_n_steps=own.checkpoint_every_n_steps,
                checkpoint_every_n_minutes=own.checkpoint_every_n_minutes,
                signals=self.signals,
                resumed_from=self.checkpoint.path if self.checkpoint else None,
                options={"seed": own.seed_everything} | {name: given[name] for name in shown},
            )
        return options

    def fit(self, **kwargs: Any) -> None:
        """Train, test the best checkpoint once, and print a summary."""
        folder = self.run_folder if self.trainer.is_global_zero else None
        dataset = self.config.fit.data.dataset
        title = dataset if dataset == "mnist" else f"{dataset} (not MNIST)"
        if self.trainer.is_global_zero and processes.is_first():
            lines = {"dataset": title, "network": report.describe(self.model.model)}
            report.print_lines(lines | report.describe_devices(self.trainer, self.datamodule.hparams["batch_size"]))
        try:
            path = self.checkpoint.path if self.checkpoint else None
            result = run.fit(self.trainer, self.model, self.datamodule, folder, path, self.steps_before)
            processes.part_together()
            if folder is not None:
                self._summarise(title, result)
        except Stopped as stop:
            if not self.trainer.is_global_zero:
                raise SystemExit(0) from None  # as asked; the first process says so
            raise Stopped(stop.number, _how_to_resume(self)) from None
        except (OSError, WriteError) as error:
            reason = "" if folder is None else report.describe_write_error(error, folder)
            if not reason:
                raise
            raise WriteError(f"{reason}; {_last_checkpoint(self.trainer)}{_how_to_resume(self)}") from error
        except RuntimeError as error:
            if not processes.is_lost_contact(error):
                raise
            saved = _last_checkpoint(self.trainer)
            raise TrainingError(f"{processes.describe_loss(error)}; {saved}{_how_to_resume(self)}") from error
        except SystemExit:  # how Lightning ends an interrupted run
            print(_how_to_resume(self), file=sys.stderr)
            raise

    def validate(self, **kwargs: Any) -> None:
        """Print the accuracy on the validation images."""
        if self.datamodule.hparams["val_size"] == 0:
            raise InputError("--data.val_size 0: the network was trained on all images; none is left for validation")
        (metrics,) = self.trainer.validate(self.model, datamodule=self.datamodule, verbose=False)
        if self.trainer.is_global_zero:
            report.print_accuracy("validation", metrics["val/acc"])
        processes.part_together()

    def test(self, **kwargs: Any) -> None:
        """Print the confusion matrix and the accuracy on the test images."""
        (metrics,) = self.trainer.test(self.model, datamodule=self.datamodule, verbose=False)
        confusion = self.model.test_confusion.compute()
        if self.trainer.is_global_zero:
            report.print_confusion(confusion)
            report.print_accuracy("test", metrics["test/acc"])
        processes.part_together()

    def predict(self, **kwargs: Any) -> None:
        """Write predictions as they come; of several processes, the first writes those of all."""
        output = self.config.predict.output if self.trainer.is_global_zero else None
        self.datamodule.setup("predict")  # an unreadable file shows before the output is made
        with open_new(Path(output), "--output") if output else contextlib.nullcontext(sys.stdout) as file:
            self.trainer.callbacks.append(CSVPredictions(file))  # type: ignore[attr-defined]
            self.trainer.predict(self.model, datamodule=self.datamodule, return_predictions=False)
            file.flush()
        processes.part_together()

    def _summarise(self, title: str, result: run.Result) -> None:
        options = self.config.fit
        accuracy = None
        if result.checkpoint and options.test_after_fit:
            accelerator = self._get(self.config_init, "trainer")["accelerator"]
            accuracy = run.test_checkpoint(self.trainer, self.datamodule, result.checkpoint, accelerator)
        training = f"{result.steps:,} steps in {result.seconds:.0f} s; {result.epochs} epochs in all"
        lines = {"dataset": title, "training": training}
        if result.checkpoint:
            lines["validation"] = "none; this is the last epoch"
            if result.val_acc is not None:
                lines["validation"] = f"{report.percent(result.val_acc)} (best epoch)"
        if accuracy is not None:
            lines["test"] = report.percent(accuracy)
        lines["checkpoint"] = str(result.checkpoint or "none: they are switched off")
        lines |= report.log_lines(self.trainer.loggers, runs_folder(options))
        if result.curves:
            lines["curves"] = str(result.curves)
        if result.checkpoint:
            data_dir = options.data.data_dir
            moved = options.data.dataset == "mnist" and data_dir != self._parser("fit").get_default("data.data_dir")
            lines |= report.next_steps(result.checkpoint, f" --data.data_dir {shlex.quote(data_dir)}" if moved else "")
        print()
        report.print_lines(lines)
        if accuracy is not None:
            print()
            report.print_accuracy("test", accuracy)


def _write_config(cli: MNISTCLI, trainer: Trainer, folder: Path) -> None:
    """Write the run's options, when all processes have met: from then on, this is the newest run."""
    if not trainer.is_global_zero:
        return
    # without the checkpoint that it starts from: commands that test the new one read this config too
    config = cli.config.fit.clone()
    config.ckpt_path = None
    text = cli._parser("fit").dump(config, skip_none=False)
    with open_new(folder / "config.yaml", "the run's options:") as file:
        file.write(text)
    slurm.write_job(folder)


def _how_to_resume(cli: MNISTCLI) -> str:
    """Return how to go on with this run after it has been stopped."""
    # the first of several processes has made the folder
    saved = next((c for c in cli.trainer.checkpoint_callbacks if isinstance(c, LastCheckpoint)), None)
    last = Path(saved.dirpath) / "last.ckpt" if cli.run_folder and saved and saved.dirpath else None
    if last is not None and last.is_file():
        options, trainer = cli.config.fit.trainer, cli.trainer
        if trainer.global_step == options.max_steps or trainer.current_epoch == options.max_epochs:
            best = last.with_name("best.ckpt")
            tested = os.path.relpath(best if best.is_file() else last)
            return f"it has been trained to the end; test it with: {report.next_steps(Path(tested), '')['test it']}"
        return f"resume with: {report.resume_command(last.parent.parent)}"
    if cli.checkpoint is not None:
        return f"nothing new was saved; what there is to resume is {cli.checkpoint.path}"
    return "no checkpoint had been saved"


def _last_checkpoint(trainer: Trainer) -> str:
    """Return which checkpoint a run has saved last, for a message; "" if none."""
    last = next((c for c in trainer.checkpoint_callbacks if isinstance(c, LastCheckpoint)), None)
    if last is None or not Path(last.best_model_path).is_file():
        return ""
    return f"the last checkpoint is {os.path.relpath(last.best_model_path)} (step {last.saved_step:,}); "
