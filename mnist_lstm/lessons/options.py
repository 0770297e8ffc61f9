"""What the options of lessons accept: values beyond are refused by name before anything runs."""

from typing import TYPE_CHECKING

from jsonargparse.typing import restricted_number_type

if TYPE_CHECKING:
    Count = int
    Ahead = int
    Size = int
    Seed = int
    Rate = float
    Spread = float
    Bias = float
else:
    Count = restricted_number_type("Count", int, [(">=", 1), ("<=", 1_000_000)])
    Ahead = restricted_number_type("Ahead", int, [(">=", 1), ("<=", 400)])
    Size = restricted_number_type("Size", int, [(">=", 1), ("<=", 4096)])
    Seed = restricted_number_type("Seed", int, [(">=", 0), ("<", 2**32)])
    Rate = restricted_number_type("Rate", float, [(">", 0), ("<=", 100)])
    Spread = restricted_number_type("Spread", float, [(">=", 0), ("<=", 100)])
    Bias = restricted_number_type("Bias", float, [(">=", -100), ("<=", 100)])
