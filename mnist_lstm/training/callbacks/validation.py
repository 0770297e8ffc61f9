"""Hand the result of each validation to a function, which may end the run."""

from collections.abc import Callable

from lightning.pytorch import Callback, LightningModule, Trainer

Metrics = dict[str, float]
"""val/loss and val/acc."""


class OnValidation(Callback):
    """Call ``function`` after each validation; the run ends after the epoch in which it returns True."""

    def __init__(self, function: Callable[[Metrics], bool]) -> None:
        self._function = function

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Call the function, except in the check before training."""
        if not trainer.sanity_checking:
            trainer.should_stop |= self._function(
                {name: float(trainer.callback_metrics[name]) for name in ("val/loss", "val/acc")}
            )
