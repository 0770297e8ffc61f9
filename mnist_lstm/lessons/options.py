"""Types of the lessons' options: values out of range are refused by name before anything runs."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from jsonargparse.typing import restricted_number_type

from mnist_lstm.data.datasets import Request

if TYPE_CHECKING:
    Count = int
    Ahead = int
    Size = int
    Row = int
    Which = int
    Rate = float
    Spread = float
    Bias = float
else:
    Count = restricted_number_type("Count", int, [(">=", 1), ("<=", 1_000_000)])
    Ahead = restricted_number_type("Ahead", int, [(">=", 1), ("<=", 400)])
    Size = restricted_number_type("Size", int, [(">=", 1), ("<=", 4096)])
    Row = restricted_number_type("Row", int, [(">=", 1), ("<=", 4)])
    Which = restricted_number_type("Which", int, [(">=", 0), ("<", 1797)])
    Rate = restricted_number_type("Rate", float, [(">", 0), ("<=", 100)])
    Spread = restricted_number_type("Spread", float, [(">=", 0), ("<=", 100)])
    Bias = restricted_number_type("Bias", float, [(">=", -100), ("<=", 100)])


@dataclass(frozen=True)
class MemoryOptions:
    """Options of the lessons on memory.

    Args:
        hidden_size: Units of each network.
        batch_size: Sequences per update.
        learning_rate: Learning rate of Adam.
    """

    hidden_size: Size = 32
    batch_size: Size = 32
    learning_rate: Rate = 0.005


@dataclass(frozen=True)
class DigitOptions:
    """Options of the lessons that train on digits.

    Args:
        updates: Updates of each network.
        hidden_size: Units of one direction.
        batch_size: Images per update.
        learning_rate: Learning rate of Adam.
        dataset: mnist; digits: scikit-learn's; auto: mnist if available, else digits.
        data_dir: Folder of MNIST.
    """

    updates: Count = 400
    hidden_size: Size = 64
    batch_size: Size = 64
    learning_rate: Rate = 0.003
    dataset: Request = "auto"
    data_dir: str = "data"
