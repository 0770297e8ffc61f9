"""Take a sheet of paper, a note or a window out of a larger scene, and its perspective out of the picture."""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from mnist_lstm.inference.picture.corners import STEP, Corners, find_outlines
from mnist_lstm.inference.picture.ink import Grey

BORDER = 0.012  # share of the sheet's sides that is cut off with its edge
DARK = 10 / 255  # grey level below which differences count little, as for the edges
EDGED = 0.95  # share of the outline of a sheet along which there is an edge, at least


@dataclass(frozen=True)
class Sheet:
    """A sheet seen from above.

    Attributes:
        grey: float32 ``(height, width)``, without the sheet's edge.
        to_picture: float64 ``(3, 3)``, the perspective from its pixels to shares of the picture's width and height.
        is_cut_out: whether it is only a part of the picture.
        is_certain: whether it is the only bright sheet with four clear edges: then all else is not writing.
    """

    grey: Grey
    to_picture: npt.NDArray[np.float64]
    is_cut_out: bool
    is_certain: bool = False

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
    """Return the sheets in a picture, the one with the clearest edges first; none if paper fills the picture."""
    outlines = find_outlines(grey)
    # edges of objects, of pen strokes and of the grain of wood are not as straight, and seldom four
    certain = [o for o in outlines if o.sides == 4 and o.share > EDGED and o.step > 2 * STEP]
    return [_flatten(grey, o.corners, is_certain=[o] == certain and _stands_out(grey, o.corners)) for o in outlines]


def _stands_out(grey: Grey, corners: Corners) -> bool:
    """Return whether it is brighter between the corners than around them, as it is not in the hole of a digit."""
    inside = np.zeros(grey.shape, np.uint8)
    cv2.fillConvexPoly(inside, np.rint(corners).astype(np.int32), 1)
    if inside.all():
        return True
    sheet, rest = (float(np.median(grey[inside == value])) for value in (1, 0))
    return bool(np.log(sheet + DARK) - np.log(rest + DARK) > STEP)


def _flatten(grey: Grey, corners: Corners, *, is_certain: bool) -> Sheet:
    """Return what is between four corners, seen from above, without its edge."""
    top, right, bottom, left = (float(np.linalg.norm(corners[i] - corners[(i + 1) % 4])) for i in range(4))
    width, height = max(8, round(max(top, bottom))), max(8, round(max(left, right)))
    target = np.array([(0, 0), (width, 0), (width, height), (0, height)], np.float32)
    to_sheet = cv2.getPerspectiveTransform(corners, target)
    seen = cv2.warpPerspective(grey, to_sheet, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    cut = max(2, round(BORDER * max(width, height)))
    moved = np.array([[1, 0, cut], [0, 1, cut], [0, 0, 1]], np.float64)
    to_picture = _to_shares(grey) @ np.linalg.inv(to_sheet) @ moved
    return Sheet(np.ascontiguousarray(seen[cut:-cut, cut:-cut]), to_picture, is_cut_out=True, is_certain=is_certain)
