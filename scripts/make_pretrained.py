"""Make the weights that ship with the package, and their card, from a training run.

OMP_NUM_THREADS=1 mnist-lstm fit --config configs/cpu_mixed.yaml --config configs/record.yaml
python scripts/make_pretrained.py runs/mnist/version_0 --half --output pretrained

The run's best checkpoint (without validation: the last one) is stripped to its weights and hyper-parameters. The card
holds the recipe and the accuracies of the weights as stored, computed in float32 on the validation images, if there are
any, and on the test images.
"""

import argparse
import hashlib
import io
import json
import sys
from pathlib import Path

import torch
import yaml
from evaluate import load_test_images, score

from mnist_lstm.console import printable
from mnist_lstm.data import datasets
from mnist_lstm.errors import InputError
from mnist_lstm.files import open_new, refuse_existing
from mnist_lstm.inference.classifier import Classifier
from mnist_lstm.inference.torch_backend import TorchBackend
from mnist_lstm.network.checkpoint import build_network, read_checkpoint
from mnist_lstm.network.seal import seal

STORED = ("state_dict", "hyper_parameters", "datamodule_hyper_parameters", "pytorch-lightning_version")
"""Parts of the checkpoint that are kept."""


def main(args: list[str] | None = None) -> int:
    """Run the script; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a finished run of mnist-lstm fit on MNIST")
    parser.add_argument("--output", type=Path, default="pretrained", help="folder to write into (pretrained)")
    parser.add_argument("--half", action="store_true", help="store the weights in float16: half the size")
    parser.add_argument("--data_dir", type=Path, default="data", help="folder of MNIST, filled if need be (data)")
    options = parser.parse_args(args)
    try:
        card = make(options.run, options.output, options.data_dir, half=options.half)
    except InputError as error:
        print(f"make_pretrained: error: {printable(str(error))}", file=sys.stderr)
        return 2
    print(json.dumps(card, indent=2))
    return 0


def make(run: Path, output: Path, data_dir: Path, *, half: bool) -> dict[str, object]:
    """Write ``weights.ckpt`` and ``card.json``; return the card.

    Raises:
        InputError: the run cannot be used, or an output file exists.
    """
    config_file = run / "config.yaml"
    best, last = (run / "checkpoints" / f"{name}.ckpt" for name in ("best", "last"))
    path = best if best.is_file() else last
    checkpoint = read_checkpoint(path)
    if not config_file.is_file():
        raise InputError(f"{run}: is not the folder of a run: it has no config.yaml")
    config = yaml.safe_load(config_file.read_text(encoding="utf-8"))
    weights_file, card_file = output / "weights.ckpt", output / "card.json"
    for file in (weights_file, card_file):
        refuse_existing(file, "--output")
    recipe = checkpoint["datamodule_hyper_parameters"]
    if recipe.get("dataset") != "mnist":
        raise InputError(f"{run}: was trained on {recipe.get('dataset')}, not on MNIST")
    test = load_test_images(data_dir)
    split = {name: recipe[name] for name in ("val_size", "split", "split_seed") if name in recipe}
    train, val = datasets.load_train_and_val("mnist", data_dir.expanduser(), **split)

    if half:
        checkpoint["state_dict"] = {name: weight.half() for name, weight in checkpoint["state_dict"].items()}
    classifier = Classifier(TorchBackend(build_network(checkpoint, path)))
    val_acc, test_acc = (
        score(classifier.probabilities(images), labels)["accuracy"] if len(labels) else None
        for images, labels in (val, test)
    )
    output.mkdir(parents=True, exist_ok=True)
    content = io.BytesIO()
    torch.save({name: checkpoint[name] for name in STORED}, content)
    seal(content)
    weights = content.getvalue()
    with open_new(weights_file, "--output", binary=True) as output_file:
        output_file.write(weights)
    card: dict[str, object] = {
        "weights": weights_file.name,
        "sha256": hashlib.sha256(weights).hexdigest(),
        "parameters": sum(weight.numel() for weight in checkpoint["state_dict"].values()),
        "stored_as": "float16" if half else "float32",
        "recipe": {
            "model": checkpoint["hyper_parameters"],
            "data": recipe,
            "trainer": {name: config["trainer"][name] for name in ("precision", "gradient_clip_val", "callbacks")},
        },
        "seed": config["seed_everything"],
        "epochs": config["trainer"]["max_epochs"],
        "epoch": checkpoint["epoch"] + 1,
        "training_images": len(train.labels),
        "validation_images": len(val.labels),
        "val_acc": val_acc,
        "test_acc": test_acc,
        "torch": torch.__version__,
    }
    with open_new(card_file, "--output") as output_file:
        output_file.write(json.dumps(card, indent=2) + "\n")
    return card


if __name__ == "__main__":
    sys.exit(main())
