"""OpenCV's operations on masks, with bool arrays in and out."""

from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]
Labels = npt.NDArray[np.int32]


def dilate(mask: Mask, height: int, width: int) -> Mask:
    """Set every pixel with a set one in the rectangle around it, of an odd height and width."""
    return cv2.dilate(mask.view(np.uint8), np.ones((height, width), np.uint8)).view(np.bool_)  # type: ignore[no-any-return]


def erode(mask: Mask, height: int, width: int) -> Mask:
    """Clear every pixel with an unset one in the rectangle around it; beyond the picture all are set."""
    return cv2.erode(mask.view(np.uint8), np.ones((height, width), np.uint8)).view(np.bool_)  # type: ignore[no-any-return]


def keep_runs(mask: Mask, height: int, width: int) -> Mask:
    """Keep what a rectangle of set pixels covers (a morphological opening)."""
    kernel = np.ones((height, width), np.uint8)
    return cv2.morphologyEx(mask.view(np.uint8), cv2.MORPH_OPEN, kernel).view(np.bool_)  # type: ignore[no-any-return]


def label(mask: Mask) -> tuple[Labels, npt.NDArray[np.int32]]:
    """Number the 8-connected parts of a mask from 1.

    Returns:
        The numbers ``(height, width)``, and for each number, 0 included, left, top, width, height and area.
    """
    mask = np.ascontiguousarray(mask)
    _, labels, boxes, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=8, ltype=cv2.CV_32S)
    return labels, boxes


def depth(mask: Mask) -> npt.NDArray[np.float32]:
    """Return the distance of each pixel to the nearest one outside the mask; beyond the picture all are outside."""
    padded = np.pad(mask, 1).view(np.uint8)
    result: npt.NDArray[np.float32] = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_5)[1:-1, 1:-1]
    return result


def holes(mask: Mask) -> Iterator[tuple[Any, float]]:
    """Find the holes of a mask: their outlines, and the share of its smallest rectangle that each fills."""
    outlines, hierarchy = cv2.findContours(mask.view(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    for outline, (_, _, _, parent) in zip(outlines, () if hierarchy is None else hierarchy[0], strict=True):
        if parent >= 0:
            _, (long, short), _ = cv2.minAreaRect(outline)
            yield outline, cv2.contourArea(outline) / (long * short + 1e-9)
