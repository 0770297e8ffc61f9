/** Which parts are strokes of the same digit? The rules of `mnist_lstm/inference/picture/pieces.py`. */

/**
 * Ink of a digit or of several that touch: a box, the labels of its parts, its widest stroke, and whether it is a slice
 * of a part.
 *
 * @typedef {{left, top, right, bottom, labels: number[], stroke: number, isCut: boolean}} Piece
 */

const ROW_HEIGHT = 2; // of digits that touch, in strokes
const ROW_STROKES = 3; // that stand side by side in digits that touch, at least

export const wide = (piece) => piece.right - piece.left;
export const high = (piece) => piece.bottom - piece.top;

/** @returns {Piece} both as one */
export function joined(a, b) {
  return {
    left: Math.min(a.left, b.left),
    top: Math.min(a.top, b.top),
    right: Math.max(a.right, b.right),
    bottom: Math.max(a.bottom, b.bottom),
    labels: [...new Set([...a.labels, ...b.labels])].sort((x, y) => x - y),
    stroke: Math.max(a.stroke, b.stroke),
    isCut: a.isCut || b.isCut,
  };
}

/** The usual height of a digit: the median, weighted by height. */
export function digitHeight(pieces) {
  const heights = pieces.map((piece) => Math.max(high(piece), wide(piece) / 2)).sort((a, b) => a - b);
  const half = heights.reduce((sum, height) => sum + height, 0) / 2;
  let sum = 0;
  return heights.find((height) => (sum += height) >= half);
}

/**
 * Merge the strokes of each digit, such as the bar of a 5 with the rest of it.
 *
 * @param {import("./parts.js").Part[]} parts at least one
 * @param {{labels: Int32Array, width: number}} picture the number of each pixel's part
 * @returns {{digits: Piece[], rest: Piece[]}} what may be digits, and bars and dots that belong to none
 */
export function findPieces(parts, picture) {
  let pieces = parts.map(({ left, top, right, bottom, label, stroke }) => {
    return { left, top, right, bottom, labels: [label], stroke, isCut: false };
  });
  const height = digitHeight(pieces);
  pieces = mergeStrokes(pieces, height, picture);
  const isDigit = (p) => {
    return Math.max(wide(p), high(p)) > 0.25 * height && (high(p) > 0.35 * wide(p) || isRow(p, picture));
  };
  return { digits: pieces.filter(isDigit), rest: pieces.filter((piece) => !isDigit(piece)) };
}

/** Whether a wide piece may be digits that touch: higher than a bar, and many strokes side by side. */
function isRow(piece, { labels, width }) {
  if (high(piece) < ROW_HEIGHT * piece.stroke) return false;
  const third = Math.floor(high(piece) / 3);
  for (let y = piece.top + third; y < piece.bottom - third; y++) {
    let strokes = 0;
    let before = false;
    for (let x = piece.left; x < piece.right; x++) {
      const isInked = piece.labels.includes(labels[y * width + x]);
      strokes += isInked && !before;
      before = isInked;
    }
    if (strokes >= ROW_STROKES) return true;
  }
  return false;
}

function mergeStrokes(pieces, height, picture) {
  const merged = [...pieces].sort((a, b) => a.left - b.left);
  for (let first = 0; first < merged.length; first++) {
    for (let n = first + 1; n < merged.length && merged[n].left <= merged[first].right; n++) {
      if (!isSameDigit(merged[first], merged[n], height, picture, merged.length <= 3)) continue;
      merged[first] = joined(merged[first], merged[n]);
      merged.splice(n, 1);
      first = -1; // what was too far from one stroke may be near to both
      break;
    }
  }
  return merged;
}

/** Whether pieces above each other are strokes of a digit; among few pieces, also two halves of one. */
function isSameDigit(a, b, height, picture, areFew) {
  const both = joined(a, b);
  const share = (Math.min(a.right, b.right) - Math.max(a.left, b.left)) / Math.min(wide(a), wide(b));
  const gap = Math.max(a.top, b.top) - Math.min(a.bottom, b.bottom);
  const areHalves = areFew && share > 0.6 && gap < 0.13 * high(both) && high(both) < 2.2 * wide(both);
  if (share < 0.3 || (high(both) > 1.6 * height && !areHalves)) return false;
  const isSmall = Math.min(high(a), high(b)) < 0.55 * Math.max(high(a), high(b));
  if (!isSmall && high(both) > 1.25 * height && high(both) > 1.9 * wide(both)) return false; // digits of two lines
  const limit = (isSmall ? 0.25 : 0.16) * high(both);
  return gap < limit && distance(a, b, picture) < limit + 0.5 * (a.stroke + b.stroke);
}

/** The least distance between the ink of two pieces, in pixels. */
function distance(a, b, picture) {
  const [first, second] = [a, b].map((piece) => outline(piece, picture));
  let least = Infinity;
  for (const [x, y] of first) {
    for (const [u, v] of second) least = Math.min(least, (x - u) ** 2 + (y - v) ** 2);
  }
  return Math.sqrt(least);
}

/** x and y of up to about 200 pixels on the rim of a piece. */
function outline({ left, top, right, bottom, labels: own }, { labels, width }) {
  const isOwn = (x, y) => {
    return x >= left && x < right && y >= top && y < bottom && own.includes(labels[y * width + x]);
  };
  const points = [];
  for (let y = top; y < bottom; y++) {
    for (let x = left; x < right; x++) {
      if (!isOwn(x, y)) continue;
      if (!(isOwn(x, y - 1) && isOwn(x, y + 1) && isOwn(x - 1, y) && isOwn(x + 1, y))) points.push([x, y]);
    }
  }
  const step = Math.max(1, Math.floor(points.length / 200));
  return points.filter((_, n) => n % step === 0);
}
