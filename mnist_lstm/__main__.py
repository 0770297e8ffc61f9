"""``python -m mnist_lstm`` is ``mnist-lstm``."""

from mnist_lstm.cli import entry_point

if __name__ == "__main__":
    entry_point()
