"""The errors that this project raises on purpose: one line that says what is wrong, where, and what to do."""


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
