"""Train a classifier: ``python scripts/train.py ARGS`` is ``mnist-lstm fit ARGS``.

python scripts/train.py --config configs/cpu.yaml
"""

import sys

from mnist_lstm.cli import main

if __name__ == "__main__":
    sys.exit(main(["fit", *sys.argv[1:]]))
