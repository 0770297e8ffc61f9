"""A picture of two tones, ink and bare ground: a close crop, without ground around the digit to compare it with."""

from collections.abc import Iterator

import cv2
import numpy as np

from mnist_lstm.inference.picture.finding import Finding
from mnist_lstm.inference.picture.ink import MIN_CONTRAST, SMALL, Grey, Ink, otsu, shrink
from mnist_lstm.inference.picture.morphology import depth, holes, label
from mnist_lstm.inference.picture.parts import Part, edge_width, share_faded
from mnist_lstm.inference.picture.sheet import Sheet
from mnist_lstm.inference.picture.writing import FADED, ONE_SIDE, PATCH

WITHIN = 0.21  # variance within the two tones, as a share of the whole, at most: 0.25 in a gradient
RIM = 0.5  # of the pixels at the picture's edge are ink at most: ground is what surrounds
SIDE = 0.95  # of the left or right edge is ink at most: more is a shadow, but the bar of a 7 may be a whole edge
DEEP = 0.4  # brightness in the shade, as a share of that in the light, at least: ink is darker
CORNER, SOFT = 0.25, 4  # distance of the ground from a corner, as a share of the longer side, and width of the edge
HOLES = 4  # at most: an 8 has two, squared paper many
LEAST = 0.25  # longer side of the digit, as a share of the picture's: this is a close crop
WIDE = 1.5  # width of the digit over its height, at most
WIDEST = 0.4  # stroke, as a share of the digit's longer side
BLUR = 0.1  # width of the edge between the tones, as a share of the picture's longer side: digits have up to 0.04
REACH = 6  # pixels on both sides of the edge between the tones: no digit's is wider
FILLED = 0.9  # share of the picture's height and width, and of all ink, at least


def find_two_tones(grey: Grey) -> Iterator[Finding]:
    """Yield all dark or all light pixels of a picture as one digit, if there are two tones."""
    sheet = Sheet.of(shrink(grey, max(1.0, max(grey.shape) / SMALL)))
    is_light = sheet.grey > otsu(sheet.grey)
    if not 0 < is_light.mean() < 1:
        return
    levels = float(sheet.grey[~is_light].mean()), float(sheet.grey[is_light].mean())
    within = float(np.var(sheet.grey - np.where(is_light, levels[1], levels[0])))
    if within > WITHIN * float(np.var(sheet.grey)) or levels[1] - levels[0] < MIN_CONTRAST:
        return
    width = edge_width(sheet.grey, is_light, levels[1] - levels[0])
    if width > max(4, BLUR * max(is_light.shape)):
        return  # a soft shadow
    for mask, (ink, ground) in ((~is_light, levels), (is_light, levels[::-1])):
        rim = np.concatenate([mask[0], mask[-1], mask[1:-1, 0], mask[1:-1, -1]])
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        box = int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
        depths = depth(mask)[mask]
        stroke = 2 * float(np.percentile(depths, 90))
        part = Part(*box, 1, int(mask.sum()), stroke, level=1.0, sharpness=1.0, excess=1.0, edges=4)
        reaches_over = part.left == 0 and part.right == mask.shape[1]
        is_stroke = reaches_over or part.filled < PATCH or levels[0] < DEEP * levels[1]
        is_half = max(mask[:, 0].mean(), mask[:, -1].mean()) > (SIDE if is_stroke else ONE_SIDE)
        distance = cv2.distanceTransform(mask.view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5)
        in_shade = width > SOFT and distance[[0, 0, -1, -1], [0, -1, 0, -1]].max() > CORNER * max(mask.shape)
        if rim.mean() > RIM or is_half or in_shade or sum(1 for _ in holes(mask)) > HOLES:
            continue
        strength = np.clip((sheet.grey - ground) / (ink - ground), 0, 1).astype(np.float32)
        if part.stroke >= WIDEST * part.side or part.width > WIDE * part.height:
            continue
        dark = sheet.grey if ink < ground else 1 - sheet.grey
        is_shade = share_faded(dark, mask, ~mask, REACH, abs(ink - ground)) > FADED
        if part.side >= LEAST * max(mask.shape) and not is_shade:
            found = Ink(sheet.grey, strength, 0.5, 0.5, strength, 0.1, np.zeros(mask.shape, dtype=bool), ink > ground)
            yield Finding(sheet, [part], mask.astype(np.int32), found, 0.0)


def fills(finding: Finding) -> bool:
    """Return whether nearly all ink is connected, and reaches from edge to edge: one digit, cropped to its ink."""
    _, boxes = label(finding.labels > 0)
    *_, width, height, area = boxes[1:][boxes[1:, 4].argmax()].tolist()
    rows, columns = finding.labels.shape
    return bool(area > FILLED * finding.parts[0].area and height > FILLED * rows and width > FILLED * columns)
