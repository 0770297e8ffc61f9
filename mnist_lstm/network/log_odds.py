"""Log-odds of a class: unlike its probability and its loss, they keep growing where a network is sure."""

import torch
from torch import Tensor


def log_odds(logits: Tensor, classes: int | Tensor) -> Tensor:
    """Return log(p / (1 - p)), ``(...)``, of a class, or of classes ``(...)``, from logits ``(..., 10)``.

    It is exact also where p rounds to 1.
    """
    index = torch.as_tensor(classes, device=logits.device).expand(logits.shape[:-1]).unsqueeze(-1)
    others = logits.scatter(-1, index, -torch.inf).logsumexp(dim=-1)
    return logits.gather(-1, index).squeeze(-1) - others
