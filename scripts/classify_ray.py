"""Classify pictures with Ray Data: its workers read files, and each actor loads the network once.

python scripts/classify_ray.py photos answers --actors 2

PICTURES is a folder or an address that Ray reads, such as s3://bucket/photos. ANSWERS is a new folder of Parquet files,
with the columns of mnist-lstm classify. Without a cluster, Ray starts on this machine. pip install 'mnist-lstm[ray]'
"""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mnist_lstm.console import printable
from mnist_lstm.errors import InputError
from mnist_lstm.files import refuse_existing

if TYPE_CHECKING:
    import pyarrow as pa


class Reader:
    """What an actor holds: a classifier, which reads batches of files."""

    def __init__(self, ckpt_path: str | None) -> None:
        from mnist_lstm.inference import load_classifier

        self.classifier = load_classifier(ckpt_path)

    def __call__(self, batch: dict[str, Any]) -> "pa.Table":
        """Turn paths and bytes of files into a table of answers."""
        from mnist_lstm.inference.batches import classify_batches
        from mnist_lstm.inference.parquet import to_table
        from mnist_lstm.inference.sources import read_content

        files = zip(batch["path"], batch["bytes"], strict=True)
        sources = (source for path, data in files for source in read_content(str(path), data))
        answers = classify_batches(self.classifier, sources, split=False, stages=False, read_ahead=False)
        return to_table(answer for answered in answers for answer in answered)


def classify(pictures: str, answers: Path, actors: int, ckpt_path: str | None = None) -> None:
    """Classify pictures with a number of actors, up to one for each core of the cluster."""
    import ray.data

    # if actors reserved whole cores, the tasks that read and write would wait for ever where there are no others
    (
        ray.data.read_binary_files(pictures, include_paths=True, num_cpus=0.1)
        .map_batches(
            Reader,
            fn_constructor_args=(ckpt_path,),
            compute=ray.data.ActorPoolStrategy(size=actors),
            num_cpus=0.75,
            batch_size=50,
        )
        .write_parquet(str(answers.absolute()), ray_remote_args={"num_cpus": 0.1})
    )


def main(args: list[str] | None = None) -> int:
    """Run the script; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", metavar="PICTURES", help="folder or address of pictures")
    parser.add_argument("answers", type=Path, metavar="ANSWERS", help="new folder for Parquet files")
    parser.add_argument("--actors", type=int, default=1, help="number of actors, up to one for each core (%(default)s)")
    parser.add_argument("--ckpt_path", metavar="FILE", help="checkpoint (the weights of the package)")
    options = parser.parse_args(args)
    try:
        refuse_existing(options.answers, "ANSWERS")
        if options.actors < 1:
            raise InputError(f"--actors {options.actors}: must be at least 1")
        classify(options.pictures, options.answers, options.actors, options.ckpt_path)
    except ImportError:
        print("classify_ray: error: this needs Ray: pip install 'mnist-lstm[ray]'", file=sys.stderr)
        return 2
    except (InputError, FileNotFoundError) as error:
        print(f"classify_ray: error: {printable(str(error))}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
