"""The errors this project raises on purpose: one line that says what is wrong, where, and what to do."""


def printable(text: str) -> str:
    """Put a text into one line that does nothing to a terminal: what cannot be printed is shown as an escape."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class InputError(ValueError):
    """Something that was given to the program cannot be used: an option, a file, a folder, an address.

    The command prints the message without a traceback and exits with code 2.
    """


class TrainingError(RuntimeError):
    """A run that was set up properly has failed. The command prints the message and exits with code 1."""
