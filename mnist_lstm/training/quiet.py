"""Messages of Lightning and TensorBoard that the command does not show."""

import contextlib
import logging
import threading
import warnings
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def quiet_lightning(*, names_device: bool = False) -> Iterator[None]:
    """Drop what Lightning prints at every start and nobody can act on: exactly these messages, and only meanwhile.

    And the traceback of TensorBoard's thread when the disk is full; and, if the command ``names_device``, which ones
    are available.
    """
    tips = [
        "Tip: For seamless cloud",
        "TPU available",
        "`Trainer.fit` stopped: `max_",  # as asked, and the last line that is printed says it
        "to estimate number of stepping batches",
        "Initializing distributed",  # the command says it in one line
        "distributed_backend=",
    ]
    tips += ["GPU available", "LOCAL_RANK: "] if names_device else []

    def is_useful(record: logging.LogRecord) -> bool:
        return not any(text in record.getMessage() for text in tips)

    def complain(args: Any) -> None:
        # TensorBoard's thread also passes this error on to the next that writes, who prints it in one line
        if not (issubclass(args.exc_type, OSError) and type(args.thread).__module__.startswith("tensorboard.")):
            before(args)

    before, threading.excepthook = threading.excepthook, complain
    loggers = [logging.getLogger(f"lightning.{package}.utilities.rank_zero") for package in ("pytorch", "fabric")]
    loggers.append(logging.getLogger("lightning.fabric.utilities.distributed"))
    for logger in loggers:
        logger.addFilter(is_useful)
    try:
        with warnings.catch_warnings():
            for message in (
                ".*isinstance.treespec, LeafSpec.* is deprecated",  # Lightning's own use of PyTorch's trees
                "GPU available but not used",  # asked for, by accelerator cpu
                ".*does not have many workers",  # they would be slower here
                "The number of training batches .* is smaller than the logging interval",  # TrainingMonitor adapts it
                "The AccumulateGrad node's stream does not match",  # Lightning sets up DDP in a stream of its own
                "Total length of .* across ranks is zero",  # a fast dev run without validation images
            ):
                warnings.filterwarnings("ignore", message=message)
            yield
    finally:
        threading.excepthook = before
        for logger in loggers:
            logger.removeFilter(is_useful)
