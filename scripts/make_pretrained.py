"""Make the weights that come with the package, and their card, from a training run.

OMP_NUM_THREADS=1 mnist-lstm fit --config configs/cpu_mixed.yaml --config configs/record.yaml
python scripts/make_pretrained.py runs/mnist/version_0 --half --output pretrained

The run's best checkpoint (the last one, of a run without validation) is stripped to its weights and hyper-parameters.
What the card says is read from the checkpoint and measured here: accuracies in float32 of the weights as they are
written, on the validation images, if there are any, and on the test images.
"""

import argparse
import hashlib
import json
import sys
from pathlib import Path

import torch
import yaml

from mnist_lstm.data import Loader, MNISTDataModule
from mnist_lstm.errors import InputError, printable
from mnist_lstm.inference.checkpoint import build_network, read_checkpoint
from mnist_lstm.inference.classify import Classifier
from mnist_lstm.outputs import refuse_existing


def main(args: list[str] | None = None) -> int:
    """Run the script; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a finished run of mnist-lstm fit on MNIST")
    parser.add_argument("--output", type=Path, default=Path("pretrained"), help="folder to write to (pretrained)")
    parser.add_argument("--half", action="store_true", help="write the weights in float16, which halves the file")
    parser.add_argument("--data_dir", default="data", help="folder that MNIST lies in or is unpacked into (data)")
    options = parser.parse_args(args)
    try:
        card = make(options.run, options.output, options.data_dir, half=options.half)
    except InputError as error:
        print(f"make_pretrained: error: {printable(str(error))}", file=sys.stderr)
        return 2
    print(json.dumps(card, indent=2))
    return 0


def make(run: Path, output: Path, data_dir: str, *, half: bool) -> dict[str, object]:
    """Write ``weights.ckpt`` and ``card.json``; returns the card.

    Raises:
        InputError: the run cannot be used, or the output's files are there already.
    """
    config_file = run / "config.yaml"
    best, last = (run / "checkpoints" / f"{name}.ckpt" for name in ("best", "last"))
    path = best if best.is_file() else last
    checkpoint = read_checkpoint(path)
    if not config_file.is_file():
        raise InputError(f"{run}: is no folder of a run: it has no config.yaml")
    config = yaml.safe_load(config_file.read_text(encoding="utf-8"))
    weights_file, card_file = output / "weights.ckpt", output / "card.json"
    for file in (weights_file, card_file):
        refuse_existing(file, "--output")
    data = MNISTDataModule(**checkpoint["datamodule_hyper_parameters"] | {"data_dir": data_dir})
    if data.dataset != "mnist":
        raise InputError(f"{run}: was trained on {data.dataset}, not on MNIST")
    data.prepare_data()
    data.setup("validate")
    data.setup("test")

    if half:
        checkpoint["state_dict"] = {name: weight.half() for name, weight in checkpoint["state_dict"].items()}
    classifier = Classifier(build_network(checkpoint, path))
    held_out = len(data.val_dataloader().dataset)  # type: ignore[arg-type]
    output.mkdir(parents=True, exist_ok=True)
    names = ("state_dict", "hyper_parameters", "datamodule_hyper_parameters", "pytorch-lightning_version")
    torch.save({name: checkpoint[name] for name in names}, weights_file)
    card: dict[str, object] = {
        "weights": weights_file.name,
        "sha256": hashlib.sha256(weights_file.read_bytes()).hexdigest(),
        "parameters": sum(weight.numel() for weight in checkpoint["state_dict"].values()),
        "stored_as": "float16" if half else "float32",
        "recipe": {
            "model": checkpoint["hyper_parameters"],
            "data": checkpoint["datamodule_hyper_parameters"],
            "trainer": {name: config["trainer"][name] for name in ("precision", "gradient_clip_val", "callbacks")},
        },
        "seed": config["seed_everything"],
        "epochs": config["trainer"]["max_epochs"],
        "epoch": checkpoint["epoch"] + 1,
        "training_images": len(data.train_dataloader().dataset),  # type: ignore[arg-type]
        "validation_images": held_out,
        "val_acc": accuracy(classifier, data.val_dataloader()) if held_out else None,
        "test_acc": accuracy(classifier, data.test_dataloader()),
        "torch": torch.__version__,
    }
    card_file.write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
    return card


def accuracy(classifier: Classifier, batches: Loader) -> float:
    """Return the share of right answers, 0 to 1."""
    right = total = 0
    for images, labels in batches:
        assert labels is not None
        right += int((torch.from_numpy(classifier.probabilities(images.numpy())).argmax(dim=1) == labels).sum())
        total += len(labels)
    return right / total


if __name__ == "__main__":
    sys.exit(main())
