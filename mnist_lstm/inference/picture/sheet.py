"""Take a sheet of paper, a note or a window out of a larger scene, and its perspective out of the picture."""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from mnist_lstm.inference.picture.ink import Grey, otsu

SIDE = 320  # longer side, in pixels, at which sheets are looked for
BORDER = 0.012  # share of the sheet's sides that is cut off with its edge
MAX_SHEETS = 3
STEP = 10  # grey levels, of 255, between a sheet and what is around it, along four fifths of each side

Corners = npt.NDArray[np.float32]
"""Float32 ``(4, 2)``: x and y of the corners, from the top left one clockwise."""


@dataclass(frozen=True)
class Sheet:
    """A sheet seen from above.

    Attributes:
        grey: float32 ``(height, width)``, without the sheet's edge.
        to_picture: float64 ``(3, 3)``, the perspective from its pixels to shares of the picture's width and height.
        is_cut_out: whether it is only a part of the picture.
    """

    grey: Grey
    to_picture: npt.NDArray[np.float64]
    is_cut_out: bool

    @classmethod
    def of(cls, grey: Grey) -> "Sheet":
        """Return a sheet that fills its picture."""
        return cls(grey, _to_shares(grey), is_cut_out=False)

    def locate(self, box: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
        """Return where a box is in the picture: left, top, right and bottom, from pixels of the sheet to shares."""
        left, top, right, bottom = box
        corners = np.array([[(left, top), (right, top), (right, bottom), (left, bottom)]], np.float64)
        x, y = np.clip(cv2.perspectiveTransform(corners, self.to_picture)[0].T, 0, 1)
        return float(x.min()), float(y.min()), float(x.max()), float(y.max())


def _to_shares(grey: Grey) -> npt.NDArray[np.float64]:
    height, width = grey.shape
    return np.diag([1 / width, 1 / height, 1.0])


def find_sheets(grey: Grey) -> list[Sheet]:
    """Return the sheets in a picture, the largest first; none if paper fills the picture."""
    return [flatten(grey, corners) for corners in find_corners(grey)]


def find_corners(grey: Grey) -> list[Corners]:
    """Return the corners of the sheets in a picture, the largest first."""
    factor = max(1.0, max(grey.shape) / SIDE)
    size = max(1, round(grey.shape[1] / factor)), max(1, round(grey.shape[0] / factor))
    small = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
    if min(small.shape) < 40:
        return []
    smooth = cv2.medianBlur(np.rint(small * 255).astype(np.uint8), 5)
    found: list[tuple[float, Corners]] = []
    for mask in _masks(smooth):
        contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        for contour in sorted(contours, key=cv2.contourArea, reverse=True)[:3]:
            corners = _quadrilateral(contour, mask.shape)
            if corners is not None and _stands_out(smooth, corners):
                found.append((float(cv2.contourArea(corners)), corners * factor))
    found.sort(key=lambda item: -item[0])
    distinct: list[tuple[float, Corners]] = []
    for area, corners in found:
        if all(area < 0.85 * other for other, _ in distinct):
            distinct.append((area, corners))
    return [corners for _, corners in distinct[:MAX_SHEETS]]


def flatten(grey: Grey, corners: Corners) -> Sheet:
    """Return what is between four corners, seen from above, without its edge."""
    top, right, bottom, left = (float(np.linalg.norm(corners[i] - corners[(i + 1) % 4])) for i in range(4))
    width, height = max(8, round(max(top, bottom))), max(8, round(max(left, right)))
    target = np.array([(0, 0), (width, 0), (width, height), (0, height)], np.float32)
    to_sheet = cv2.getPerspectiveTransform(corners, target)
    seen = cv2.warpPerspective(grey, to_sheet, (width, height), flags=cv2.INTER_LINEAR)
    cut = max(2, round(BORDER * max(width, height)))
    moved = np.array([[1, 0, cut], [0, 1, cut], [0, 0, 1]], np.float64)
    to_picture = _to_shares(grey) @ np.linalg.inv(to_sheet) @ moved
    return Sheet(np.ascontiguousarray(seen[cut:-cut, cut:-cut]), to_picture, is_cut_out=True)


def _masks(smooth: npt.NDArray[np.uint8]) -> list[npt.NDArray[np.uint8]]:
    """Return candidates: what is brighter than a threshold, and what is darker, each without small gaps."""
    first = otsu(smooth)
    levels = {round(first)}
    for side in (smooth[smooth > first], smooth[smooth <= first]):
        if side.size > 0.05 * smooth.size:
            levels.add(round(otsu(side)))
    masks = []
    for level in sorted(levels):
        bright = (smooth > level).astype(np.uint8)
        for mask in (bright, 1 - bright):
            opened = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))
            masks.append(cv2.morphologyEx(opened, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8)))
    return masks


def _quadrilateral(contour: npt.NDArray[np.int32], shape: tuple[int, ...]) -> Corners | None:
    """Return the corners of a contour that is a quadrilateral, also one that is cut off at the picture's edges."""
    hull = cv2.convexHull(contour)
    area = cv2.contourArea(hull)
    total = shape[0] * shape[1]
    if not 0.02 * total < area < 0.97 * total or cv2.contourArea(contour) < 0.9 * area:
        return None
    for tolerance in (0.01, 0.02, 0.03, 0.05):
        corners = cv2.approxPolyDP(hull, tolerance * cv2.arcLength(hull, closed=True), closed=True)[:, 0]
        if len(corners) <= 4:
            break
    if len(corners) != 4 or cv2.contourArea(corners) < 0.92 * area:
        return None
    corners = _ordered(corners.astype(np.float32))
    height, width = shape
    x, y = corners.T
    near = 0.025 * max(shape)
    at_edge = np.stack([x <= near, y <= near, x >= width - near, y >= height - near])  # (4 edges, 4 corners)
    free = sum(not (at_edge[:, i] & at_edge[:, (i + 1) % 4]).any() for i in range(4))
    sides = [float(np.linalg.norm(corners[i] - corners[(i + 1) % 4])) for i in range(4)]
    if free < 2 or not _is_plausible(corners) or min(sides) < 0.1 * max(shape) or min(sides) < 0.2 * max(sides):
        return None
    return corners


def _is_plausible(corners: Corners) -> bool:
    """Return whether corners may be those of a rectangle at an angle: all between 60 and 120 degrees."""
    ahead, back = np.roll(corners, -1, axis=0) - corners, np.roll(corners, 1, axis=0) - corners
    cosine = (ahead * back).sum(axis=1) / (np.linalg.norm(ahead, axis=1) * np.linalg.norm(back, axis=1) + 1e-9)
    return bool((abs(cosine) < 0.5).all())


def _stands_out(smooth: npt.NDArray[np.uint8], corners: Corners) -> bool:
    """Return whether a quadrilateral differs from what is around it, along every side within the picture."""
    height, width = smooth.shape
    centre = corners.mean(axis=0)
    steps: list[npt.NDArray[np.float64]] = []  # for each side, how much brighter it is inside
    for i in range(4):
        start, end = corners[i], corners[(i + 1) % 4]
        along = start + np.linspace(0.1, 0.9, 40)[:, None] * (end - start)
        normal = np.array([end[1] - start[1], start[0] - end[0]])
        normal = normal / max(float(np.linalg.norm(normal)), 1e-6)
        if (along.mean(axis=0) - centre) @ normal < 0:
            normal = -normal
        out, inner = (np.rint(along + sign * 5 * normal).astype(int) for sign in (1, -1))
        valid = (out >= 0).all(axis=1) & (out < (width, height)).all(axis=1)
        if valid.sum() < 10:
            continue
        inner, out = (np.clip(at[valid], 0, (width - 1, height - 1)) for at in (inner, out))
        steps.append(smooth[inner[:, 1], inner[:, 0]].astype(np.float64) - smooth[out[:, 1], out[:, 0]])
    if not steps:
        return False
    sign = np.sign(np.median(np.concatenate(steps)))
    return all(np.percentile(sign * step, 20) > STEP for step in steps)


def _ordered(corners: Corners) -> Corners:
    """Return corners clockwise from the top left one."""
    centre = corners.mean(axis=0)
    angles = np.arctan2(corners[:, 1] - centre[1], corners[:, 0] - centre[0])
    corners = corners[np.argsort(angles)]
    return np.roll(corners, -int(corners.sum(axis=1).argmin()), axis=0)
