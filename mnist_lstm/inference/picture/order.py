"""In which order are pieces read? In lines from the top, each from left to right.

Lines slant, bow and lie close. So a line is followed from left to right by where it is going: its own slope at the
last pieces, drawn towards the slope of the whole page.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mnist_lstm.inference.picture.pieces import Piece, digit_height

# Heights of a digit. Chosen on 1,200 pages of 1 to 5 lines, without pictures: 5 of 1,200 others are sorted wrongly.
OFF = 0.75  # how far at most a piece is from where the line before it is going
APART = 0.9  # how far at least lines are apart that are not one, as digits in steps are
AHEAD = 4  # beyond this a line goes on as the page does

LAST = 3  # pieces of a line that tell where it is going
DAMPING = 1.0  # weight of the page's slope
GAP = 0.1  # what a gap of a digit's height counts, in heights off the line
MAX_SLOPE = 0.4  # of a page

Points = npt.NDArray[np.float64]


def sort_into_lines(pieces: Sequence[Piece]) -> list[list[Piece]]:
    """Return the lines of a page from the top, each from left to right; there is at least one piece."""
    height = digit_height(pieces)
    slope = _page_slope(_centres(pieces), height)
    lines: list[list[Piece]] = []
    for piece in sorted(pieces, key=lambda piece: piece.left):
        off = [_distance_to(line, piece, height, slope) for line in lines]
        costs = [
            distance + GAP * max(0, piece.left - line[-1].right) / height if distance < OFF else np.inf
            for line, distance in zip(lines, off, strict=True)
        ]
        if min(costs, default=np.inf) < np.inf:
            lines[int(np.argmin(costs))].append(piece)
        else:
            lines.append([piece])
    return sorted(_join(lines, height, slope), key=lambda line: float(np.median(_levels(_centres(line), slope))))


def _centres(pieces: Sequence[Piece]) -> Points:
    return np.array([piece.centre for piece in pieces])


def _levels(centres: Points, slope: float) -> Points:
    """Return the heights at which points would be if the page did not slant."""
    levels: Points = centres[:, 1] - slope * centres[:, 0]
    return levels


def _page_slope(centres: Points, height: float) -> float:
    """Return the median slope from each piece to the next one on its right."""
    slopes = []
    for centre in centres:
        across, down = (centres - centre).T
        is_right = (across > 0.3 * height) & (across < 3 * height) & (abs(down) < 0.6 * across + 0.15 * height)
        if is_right.any():
            across, down = across[is_right], down[is_right]
            nearest = int(np.argmin(across + 2 * abs(down)))
            slopes.append(down[nearest] / across[nearest])
    return float(np.clip(np.median(slopes), -MAX_SLOPE, MAX_SLOPE)) if slopes else 0.0


def _distance_to(line: list[Piece], piece: Piece, height: float, slope: float) -> float:
    """Return how far a piece is from where a line is going, in heights of a digit."""
    last = _centres(line[-LAST:])
    middle = np.average(last, axis=0, weights=np.arange(1, len(last) + 1))
    across, down = (last - middle).T
    damping = DAMPING * height**2
    own = (across @ down + damping * slope) / (across @ across + damping)
    x, y = piece.centre
    near = min(x, last[-1, 0] + AHEAD * height)
    return float(abs(y - (middle[1] + own * (near - middle[0]) + slope * (x - near)))) / height


def _join(lines: list[list[Piece]], height: float, slope: float) -> list[list[Piece]]:
    """Join lines at the same height, such as digits in steps."""
    result: list[list[Piece]] = []
    for line in sorted(lines, key=len, reverse=True):
        for other in result:
            if _distance_between(other, line, slope) < APART * height:
                other.extend(line)
                other.sort(key=lambda piece: piece.centre)
                break
        else:
            result.append(line)
    return result


def _distance_between(line: list[Piece], other: list[Piece], slope: float) -> float:
    """Return how far the pieces of another line are from a line: interpolated, and level with it beyond its ends."""
    centres, others = _centres(sorted(line, key=lambda piece: piece.centre)), _centres(other)
    expected = np.interp(others[:, 0], centres[:, 0], _levels(centres, slope))
    return float(np.median(abs(_levels(others, slope) - expected)))
