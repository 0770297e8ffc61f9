"""Signals that ask a command to end, and a run to save.

SIGTERM and SIGHUP end a command in order, with the exit code 128 + their number; a second request to end is followed at
once. While `fit` trains, they and Ctrl-C wait until the step has been finished and saved, and SIGUSR1 and SIGUSR2 save
and go on. A signal that the process has been started to ignore (by nohup, for example) stays ignored.
"""

import contextlib
import math
import os
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

from mnist_lstm.errors import Stopped

ENDING = ("SIGTERM", "SIGHUP", "SIGINT")
SAVING = ("SIGUSR1", "SIGUSR2")
REQUEUING = "SIGUSR1"  # under SLURM

SAME_REQUEST_S = 0.5
"""Seconds in which a second signal repeats the first: `timeout` signals a process, and then its group with it."""


class Signals:
    """What this process has been asked for."""

    def __init__(self) -> None:
        self.ending: int | None = None  # number of the signal that asked a run to end
        self.saving: int | None = None  # ... to save and go on
        self._waits = False  # a run looks here after each step
        self._since = 0.0

    def adopt(self, ending: int) -> None:
        """Take over that another process of this run has been asked to end; the first signal after that repeats it."""
        if self.ending is None:
            self._since = math.inf
            self.ending = ending

    @contextlib.contextmanager
    def handled(self, *, saves: bool) -> Iterator[None]:
        """Handle signals, SIGUSR1 and SIGUSR2 too if there is something to be saved."""
        before = self._install((*ENDING, *SAVING) if saves else ENDING)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Leave it to the caller to look at what has been asked for, and when."""
        # Lightning has put a handler of its own before this one, which would end the run before it is saved
        before = self._install((*ENDING, *SAVING))
        self._waits = True
        try:
            yield
        finally:
            self._waits = False
            for number, handler in before.items():
                signal.signal(number, handler)

    def _install(self, names: tuple[str, ...]) -> dict[int, Any]:
        """Install the handler for signals that this system has and the process does not ignore; return those before."""
        if threading.current_thread() is not threading.main_thread():
            return {}
        numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
        handlers = {number: signal.getsignal(number) for number in numbers}
        handlers = {number: handler for number, handler in handlers.items() if handler is not signal.SIG_IGN}
        for number in handlers:
            signal.signal(number, self._handle)
        return handlers

    def _handle(self, number: int, frame: Any) -> None:
        if signal.Signals(number).name in SAVING:
            self.saving = number
        elif self.ending is None:
            self.ending, self._since = number, time.monotonic()
            if not self._waits:
                raise KeyboardInterrupt if number == signal.SIGINT else Stopped(number)
        elif self._since == math.inf:
            self._since = time.monotonic()
        elif time.monotonic() - self._since > SAME_REQUEST_S:
            os._exit(128 + number)
