"""The errors that this project raises on purpose: one line that says what is wrong, where, and what to do."""

import signal


class InputError(ValueError):
    """An input cannot be used: an option, a file, a folder, an address.

    The command prints the message without a traceback and exits with code 2.
    """


class WriteError(InputError):
    """A file cannot be written to its end: the disk is full, a quota is used up, a folder is gone or read-only.

    The command prints the message and exits with code 1.
    """


class TrainingError(RuntimeError):
    """A run that was set up correctly has failed. The command prints the message and exits with code 1."""


class Stopped(SystemExit):
    """A signal has asked the command to end. It prints the signal's name and the hint, and exits with 128 + number."""

    def __init__(self, number: int, hint: str = "") -> None:
        super().__init__(128 + number)
        self.number = number
        self.hint = hint

    def __str__(self) -> str:
        return f"stopped by {signal.Signals(self.number).name}" + (f"; {self.hint}" if self.hint else "")
