"""The learning rate as a function of the step.

A function has no state: a run resumed with more epochs or another learning rate follows the curve of these options, not
one restored from a checkpoint.
"""

import math
from typing import Literal

Schedule = Literal["one_cycle", "cosine", "constant"]

WARM_UP = 0.3
START = 1 / 25
END = START / 1e4
"""One-cycle's defaults in PyTorch and fastai: 30 % of the steps from 1/25 of the peak up to it, then down to 4e-6."""


def learning_rate_factor(schedule: Schedule, step: int, total_steps: float) -> float:
    """Return the factor of the peak learning rate, 0 to 1, at a step from 0; that of the last step holds beyond it.

    one_cycle goes up and down by half-cosines (Smith & Topin 2018), cosine from the peak down to 0 (Loshchilov & Hutter
    2017).
    """
    if schedule == "constant":
        return 1.0
    last = max(total_steps - 1, 1)
    now = min(step, last)
    if schedule == "cosine":
        return _half_cosine(1.0, 0.0, now / last)
    peak = WARM_UP * total_steps - 1
    if now <= peak:
        return _half_cosine(START, 1.0, now / peak)
    return _half_cosine(1.0, END, (now - peak) / (last - peak))


def _half_cosine(start: float, end: float, progress: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * progress)) / 2
