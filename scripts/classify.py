"""Classify the digits in pictures: ``python scripts/classify.py ARGS`` is ``mnist-lstm classify ARGS``.

python scripts/classify.py seven.jpg
"""

import sys

from mnist_lstm.cli import main

if __name__ == "__main__":
    sys.exit(main(["classify", *sys.argv[1:]]))
