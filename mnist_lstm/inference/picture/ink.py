"""Which pixels are ink? Strength of the ink on its ground, in uneven light, and a mask of it.

grey levels ─▶ ground (morphological closing) ─▶ strength, relative to the ground ─▶ mask by two thresholds
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from mnist_lstm.inference.picture.morphology import Mask

Grey = npt.NDArray[np.float32]

MIN_CONTRAST = 0.05  # between ink and ground, as a share of full contrast; anything fainter is not ink
TWO_KINDS = 2  # threshold between two kinds of ink, as a multiple of that between the paler one and the ground
FAINT = 0.2  # level of ink: faint shadows and folds have less, 99 % of the digits of evaluate_pictures.py 0.27
SMALL = 120  # longer side, in pixels, of a crop: it may be blurred, and has no room for shadows
GROUND_SIDE = 240  # longer side, in pixels, at which the ground is estimated: light changes slowly
WIDE = 0.4  # width of the widest stroke, as a share of the picture's longer side
SMOOTH_SIDE = 400  # longer side, in pixels, of a picture that is blurred by half a pixel, larger ones by more
NARROW = 0.12  # the same, where light is uneven
LEAST_GROUND = (0.2, 0.3)  # level of the ground under dark and light ink: what is darker counts as this


@dataclass(frozen=True)
class Ink:
    """Ink on its ground.

    Attributes:
        grey: the picture, float32 ``(height, width)``, 0 (black) to 1 (white).
        strength: float32 ``(height, width)``: 0 for paper, 1 for black on white or white on black.
        weak: the least strength of ink.
        strong: strength of pixels that are surely ink; weak ones count where they touch strong ones.
        excess: the strength above the median of the surroundings; paper between strokes has none.
        floor: strength up to which a pixel may be noise.
        removed: pixels that are not writing.
        is_light: whether the ink is lighter than its ground.
    """

    grey: Grey
    strength: Grey
    weak: float
    strong: float
    excess: Grey
    floor: float
    removed: Mask
    is_light: bool

    @property
    def least_ground(self) -> float:
        """The least level of the ground that strength is relative to: on black, grain would be strong."""
        return LEAST_GROUND[self.is_light]

    def firm(self) -> "Ink":
        """Return only what is surely ink: strokes may break, but no faint line joins them."""
        return replace(self, weak=0.8 * self.strong)

    def darkest(self) -> "Ink | None":
        """Return only the darkest ink, if it is of two kinds, as a grid and what is written on it."""
        inked = self.strength[(self.strength > self.strong) & ~self.removed]
        if inked.size < 4:
            return None
        strong = otsu(inked)
        return replace(self, weak=0.8 * strong, strong=strong) if strong > TWO_KINDS * self.strong else None

    def without(self, removed: Mask) -> "Ink | None":
        """Return the rest of the ink, with thresholds of its own; None if there is too little."""
        strength = np.where(removed, 0, self.strength)
        return _with_thresholds(self.grey, strength, self.excess, self.floor, self.removed | removed, self.is_light)


def measure_ink(grey: Grey, light: bool, widest: float = WIDE) -> Ink | None:
    """Separate ink from its ground; None if there is too little contrast.

    Args:
        grey: float32 ``(height, width)``, 0 (black) to 1 (white).
        light: whether the ink is lighter than the ground.
        widest: width of the widest stroke, as a share of the picture's longer side.
    """
    dark = 1 - grey if light else grey
    factor = max(grey.shape) / GROUND_SIDE
    small = shrink(dark, factor) if factor > 1 else dark
    if min(small.shape) > 20:
        small = cv2.medianBlur(small, 3)
    window = max(5, round(widest * max(small.shape)) | 1)
    # OpenCV leaves out what is beyond the edges: ink that ends there is filled as well
    ground = cv2.blur(cv2.morphologyEx(small, cv2.MORPH_CLOSE, np.ones((window, window), np.uint8)), (3, 3))
    ground = cv2.resize(ground, grey.shape[::-1], interpolation=cv2.INTER_LINEAR)
    if max(grey.shape) <= SMALL:
        around = _edge_plane(dark)
    else:
        around = cv2.medianBlur(np.rint(small * 255).astype(np.uint8), round(0.45 * max(small.shape)) | 1)
        around = cv2.resize(around.astype(np.float32) / 255, grey.shape[::-1], interpolation=cv2.INTER_LINEAR)
    # ink absorbs a share of the light on the paper: relative to the paper, it is as dark in the shade
    least = LEAST_GROUND[light]
    strength = (ground - dark) / np.maximum(ground, least)
    if max(grey.shape) > SMOOTH_SIDE:  # grain is finer than a stroke
        strength = cv2.GaussianBlur(strength, (0, 0), max(grey.shape) / (2 * SMOOTH_SIDE))
    paper, noise = _paper_level(strength)
    strength = np.maximum(strength - paper, 0)
    excess = (around - dark) / np.maximum(ground, least)
    floor = max(4 * noise, MIN_CONTRAST / 2)
    return _with_thresholds(grey, strength, excess, floor, np.zeros(grey.shape, dtype=bool), light)


def _with_thresholds(
    grey: Grey, strength: Grey, excess: Grey, floor: float, removed: Mask, is_light: bool
) -> Ink | None:
    inked = strength[(strength > floor) & ~removed]
    if inked.size < 4 or inked.max() < MIN_CONTRAST:
        return None
    strong = max(1.2 * floor, otsu(inked))
    return Ink(grey, strength, max(floor, 0.45 * strong), strong, excess, floor, removed, is_light)


def _edge_plane(grey: Grey) -> Grey:
    """Fit a plane in L1 to the pixels at the edge: a thick digit covers most of a crop, but not of its edge."""
    height, width = grey.shape
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    terms = np.stack([np.ones_like(x), x, y], axis=-1)
    edge = np.ones(grey.shape, dtype=bool)
    edge[1:-1, 1:-1] = False
    weights = np.ones(edge.sum())
    for _ in range(6):  # iteratively reweighted least squares
        root = np.sqrt(weights)
        plane = np.linalg.lstsq(terms[edge] * root[:, None], grey[edge] * root, rcond=None)[0]
        weights = 1 / (np.abs(grey[edge] - terms[edge] @ plane) + 0.01)
    fitted: Grey = (terms @ plane).astype(np.float32)
    return fitted


def shrink(grey: Grey, factor: float) -> Grey:
    """Reduce a picture by a factor of at least 1."""
    size = max(1, round(grey.shape[1] / factor)), max(1, round(grey.shape[0] / factor))
    small: Grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
    return small


def _paper_level(strength: Grey) -> tuple[float, float]:
    """Return the level of the paper, and the standard deviation of its noise."""
    values = np.sort(strength.ravel()[:: max(1, strength.size // 20_000)])
    # paper is uniform and has little ink: it holds the shortest interval with a quarter of all pixels
    quarter = max(1, len(values) // 4)
    lengths = values[quarter:] - values[:-quarter]
    start = int(lengths[: max(1, len(values) * 3 // 10)].argmin())
    paper = float(values[start + quarter // 2])
    below = values[values <= paper]
    return paper, 1.4826 * float(np.median(paper - below))  # from the median absolute deviation


def remove_salt_and_pepper(grey: Grey) -> Grey:
    """Replace isolated pixels, unlike all but one of their neighbours, by the neighbours' median if there are many."""
    height, width = grey.shape
    if (abs(grey - cv2.medianBlur(grey, 3)) > 0.3).mean() < 0.02:  # much faster than the following
        return grey
    padded = np.pad(grey, 1, mode="edge")
    places = [(i, j) for i in range(3) for j in range(3) if (i, j) != (1, 1)]
    around = np.stack([padded[i : i + height, j : j + width] for i, j in places])  # (8, height, width)
    middle = np.median(around, axis=0)
    alike = (np.abs(around - grey) < 0.25).sum(axis=0)
    isolated = (alike <= 1) & (np.abs(grey - middle) > 0.3)
    return np.where(isolated, middle, grey).astype(np.float32) if isolated.mean() > 0.02 else grey


def otsu(values: npt.NDArray[np.floating] | npt.NDArray[np.uint8]) -> float:
    """Return the threshold that minimises the variance within two classes (Otsu 1979)."""
    low, high = float(values.min()), float(values.max())
    if high - low < 1e-6:
        return high
    levels = np.rint((values - low) * (255 / (high - low))).astype(np.uint8)
    at, _ = cv2.threshold(levels.reshape(1, -1), 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    threshold = low + (at + 0.5) * (high - low) / 255
    # anywhere in a gap of the histogram the variance is the same: take the middle of the gap
    return (float(values[values <= threshold].max()) + float(values[values > threshold].min())) / 2
