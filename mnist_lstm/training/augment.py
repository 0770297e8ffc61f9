"""Distort each image of a batch at random, on the device of the batch.

Slant, size, position, the course of a stroke and its thickness vary, as they do from hand to hand (Simard et al. 2003,
"Best Practices for Convolutional Neural Networks Applied to Visual Document Analysis"). It takes 2 % of a training step
of the network of configs/record.yaml, and a quarter of Kornia's time (scripts/benchmark.py augment).
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

ROTATION = math.radians(15)
SCALE = 0.15
SHEAR = 0.2
SHIFT = 1.0
ELASTIC = 0.8
ELASTIC_GRID = 5
THICKNESS = 0.5
"""Maximum strengths: 15 degrees; 15 % for height and width separately; a shear of 0.2 pixels per row; a shift of 1
pixel, since digits are centred; smooth displacements with a standard deviation of 0.8 pixels on a 5x5 grid; half the
way to a stroke that is a pixel wider or thinner on either side."""


def distort(images: Tensor) -> Tensor:
    """Distort every image of a batch at random: uint8 or float ``(N, 28, 28)``, 0 (paper) to 255 (ink), to float32.

    Random numbers come from the device's global generator, which `lightning.seed_everything` seeds and checkpoints
    keep.
    """
    inked = _thicken(images.to(torch.float32).unsqueeze(1))  # (N, 1, H, W)
    number, _, height, width = inked.shape
    grid = F.affine_grid(_affine(inked), list(inked.shape), align_corners=False)  # (N, H, W, 2), -1 to 1
    bend = torch.randn(number, 2, ELASTIC_GRID, ELASTIC_GRID, device=inked.device) * (2 * ELASTIC / width)
    bend = _spread(height, bend) @ bend @ _spread(width, bend).T  # (N, 2, H, W)
    return F.grid_sample(inked, grid + bend.permute(0, 2, 3, 1), align_corners=False).squeeze(1)


def _spread(size: int, like: Tensor) -> Tensor:
    """Return the matrix ``(size, ELASTIC_GRID)`` of bicubic interpolation from the grid's points to pixels."""
    # interpolation is linear: two matrix products take a CPU a sixth of F.interpolate's time
    points = torch.eye(ELASTIC_GRID, device=like.device).view(1, 1, ELASTIC_GRID, ELASTIC_GRID)
    return F.interpolate(points, size=(size, ELASTIC_GRID), mode="bicubic", align_corners=True)[0, 0]


def _thicken(images: Tensor) -> Tensor:
    """Blend each image with its dilation or its erosion: ``(N, 1, H, W)`` to the same."""
    share = _uniform(images, THICKNESS).view(-1, 1, 1, 1)
    sign = share.sign()  # eroding ink is dilating paper
    return images.lerp(_dilate(images * sign) * sign, share.abs())


def _dilate(images: Tensor) -> Tensor:
    """Return the maximum of the 3x3 pixels around each pixel."""
    # rows, then columns: a thirteenth of max_pool2d's time on a CPU
    padded = F.pad(images, (1, 1, 1, 1), value=-math.inf)
    rows = torch.maximum(torch.maximum(padded[:, :, :-2], padded[:, :, 1:-1]), padded[:, :, 2:])
    return torch.maximum(torch.maximum(rows[..., :-2], rows[..., 1:-1]), rows[..., 2:])


def _affine(images: Tensor) -> Tensor:
    """Draw matrices ``(N, 2, 3)`` that rotate, shear, scale and shift, in `affine_grid`'s terms."""
    angle, shear = _uniform(images, ROTATION), _uniform(images, SHEAR)
    width, height = _uniform(images, SCALE).exp(), _uniform(images, SCALE).exp()
    shift = 2 * SHIFT / images.shape[-1]
    cos, sin = angle.cos(), angle.sin()
    rows = (
        torch.stack([cos * width, (cos * shear - sin) * height, _uniform(images, shift)], dim=1),
        torch.stack([sin * width, (sin * shear + cos) * height, _uniform(images, shift)], dim=1),
    )
    return torch.stack(rows, dim=1)


def _uniform(images: Tensor, maximum: float) -> Tensor:
    """Draw a number between -maximum and maximum for each image."""
    return (2 * torch.rand(len(images), device=images.device) - 1) * maximum
