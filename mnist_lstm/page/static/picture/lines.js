/**
 * Where does one digit end and the next begin? Every way to cut a line into digits: the rules of
 * `mnist_lstm/inference/picture/lines.py`. A part that is too wide for one digit is cut where little ink crosses;
 * one piece or several in a row may then be a digit: a span. The network reads each of them.
 */

import { toMnist } from "./form.js";
import { SOFT } from "./ink.js";
import { clamp, quantile, roundEven } from "./numbers.js";
import { digitHeight, high, joined, wide } from "./pieces.js";

const MAX_PIECES = 3; // parts of one digit side by side
const NARROW = 0.55; // width of a part that may be two digits beside others, as a share of the width of a digit
const OFF = 0.75; // how far at most a piece is above or below its line, in heights of a digit

/** Sort pieces into lines from the top, each from left to right. */
export function sortIntoLines(pieces) {
  const height = digitHeight(pieces);
  const middle = (piece) => (piece.top + piece.bottom) / 2;
  const lines = [];
  for (const piece of [...pieces].sort((a, b) => a.left - b.left)) {
    const line = lines.find((other) => Math.abs(middle(other.at(-1)) - middle(piece)) < OFF * height);
    if (line) line.push(piece);
    else lines.push([piece]);
  }
  return lines.sort((a, b) => middle(a[0]) - middle(b[0]));
}

/**
 * @param {import("./pieces.js").Piece[]} parts of a line, from left to right
 * @param {object} ink from `measureInk`, with `labels`
 * @returns {{pieces: number, spans: Array<{start, end, piece, penalty, whole}>}} a span is made of the pieces from
 *     `start` to before `end`, which are joined in `piece`; `penalty` is how unlike one digit it is; `whole` are start
 *     and end of the part that a slice is cut from, if that is no wider than a digit
 */
export function findSpans(parts, ink) {
  const height = digitHeight(parts);
  const width = digitWidth(parts, height);
  const pieces = [];
  const wholes = [];
  for (const part of parts) {
    const excess = wide(part) / (width * Math.max(high(part) / height, 0.8));
    const slices = excess >= (parts.length === 1 ? 1 : NARROW) ? cut(part, height, ink) : [part];
    const whole = excess < 1 && slices.length > 1 ? [pieces.length, pieces.length + slices.length] : null;
    for (const slice of slices) {
      pieces.push(slice);
      wholes.push(whole);
    }
  }
  const spans = [];
  for (let start = 0; start < pieces.length; start++) {
    let span = pieces[start];
    for (let end = start + 1; end <= pieces.length; end++) {
      if (end > start + 1) {
        const both = joined(span, pieces[end - 1]);
        if (!mayJoin(span, pieces[end - 1], both, height) || (!both.isCut && end > start + MAX_PIECES)) break;
        span = both;
      }
      const whole = wholes[start];
      const isSlice = whole && whole === wholes[end - 1] && (whole[0] !== start || whole[1] !== end);
      const piece = span;
      const penalty = penaltyOf(span, pieces, start, end, height, width);
      spans.push({ start, end, piece, penalty, whole: isSlice ? whole : null });
    }
  }
  return { pieces: pieces.length, spans };
}

const sameLabels = (a, b) => String(a.labels) === String(b.labels);

function mayJoin(span, last, both, height) {
  if (last.isCut && span.isCut && sameLabels(last, span)) return wide(both) <= 1.8 * Math.max(height, high(both));
  return last.left - span.right <= 0.12 * height && wide(both) <= 1.1 * Math.max(height, high(both));
}

/** How wide a digit may be: more if there are no others to compare with. */
function digitWidth(parts, height) {
  const widths = parts.map(wide).filter((width) => width > 0.3 * height);
  if (widths.length < 2) return 1.15 * height;
  widths.sort((a, b) => a - b);
  return Math.min(1.15 * height, Math.max(0.85 * height, 1.6 * widths[(widths.length - 1) >> 1]));
}

/** How unlike one digit a span is: too wide, too low, in pieces with gaps, cut out of a part. */
function penaltyOf(span, line, start, end, height, width) {
  const neighbours = [line[start - 1], line[end]].filter(Boolean);
  const cuts = neighbours.filter((other) => other.isCut && sameLabels(other, span)).length;
  let gaps = 0;
  let apart = 0;
  for (let n = start + 1; n < end; n++) {
    gaps += Math.max(0, line[n].left - line[n - 1].right) / height;
    if (!(line[n].isCut && line[n - 1].isCut)) apart++;
  }
  const tooWide = Math.max(0, wide(span) / Math.max((width * high(span)) / height, 0.6 * width) - 1);
  const penalty = 6 * tooWide + 10 * gaps + 1.5 * apart;
  if (cuts === 0) return penalty + 3 * Math.max(0, 0.45 - high(span) / height);
  const isAlone = line.every((piece) => sameLabels(piece, span));
  const low = Math.max(0, 0.6 - high(span) / height);
  const narrow = Math.max(0, 0.12 - wide(span) / height);
  return penalty + (isAlone ? 2 : 1) * cuts + 20 * low + 5 * narrow;
}

/** Cut a part where little ink crosses. */
function cut(part, height, { labels, width }) {
  const isOwn = (x, y) => part.labels.includes(labels[(part.top + y) * width + part.left + x]);
  const columns = Array.from({ length: wide(part) }, (_, x) => {
    let count = 0;
    for (let y = 0; y < high(part); y++) if (isOwn(x, y)) count++;
    return count;
  });
  const kernel = Math.max(1, roundEven(0.06 * height));
  const crossing = columns.map((_, x) => {
    let sum = 0;
    for (let n = 0; n < kernel; n++) sum += columns[x + ((kernel - 1) >> 1) - n] ?? 0;
    return sum / kernel;
  });
  const least = Math.max(2, roundEven(0.12 * height));
  const places = crossing.map((_, x) => x).slice(least, -least);
  const cuts = [];
  for (const x of places.sort((a, b) => crossing[a] - crossing[b] || a - b)) {
    if (cuts.length >= roundEven((3 * wide(part)) / height)) break;
    if (crossing[x] > Math.max(1.8 * part.stroke, 0.5 * high(part))) break;
    if (cuts.every((other) => Math.abs(x - other) > 0.25 * height)) cuts.push(x);
  }
  const ends = [0, ...cuts.sort((a, b) => a - b), wide(part)];
  return ends.slice(1).flatMap((right, n) => slice(part, ends[n], right, isOwn, cuts.length > 0));
}

/** The columns of a part from `from` to before `to`, in the smallest box; nothing if they are empty. */
function slice(part, from, to, isOwn, isCut) {
  let [left, top, right, bottom] = [Infinity, Infinity, -1, -1];
  for (let y = 0; y < high(part); y++) {
    for (let x = from; x < to; x++) {
      if (!isOwn(x, y)) continue;
      [left, right] = [Math.min(left, x), Math.max(right, x + 1)];
      [top, bottom] = [Math.min(top, y), Math.max(bottom, y + 1)];
    }
  }
  if (right < 0) return [];
  const { labels, stroke, left: x, top: y } = part;
  return [{ left: x + left, top: y + top, right: x + right, bottom: y + bottom, labels, stroke, isCut }];
}

/** Cut out the ink of a piece with the soft edges of its strokes and without its neighbours, as an MNIST image. */
export function cutOut(piece, { labels, strength, width, height }) {
  const left = Math.max(0, piece.left - SOFT);
  const top = Math.max(0, piece.top - SOFT);
  const across = Math.min(width, piece.right + SOFT) - left;
  const down = Math.min(height, piece.bottom + SOFT) - top;
  const [from, to] = piece.isCut ? [piece.left - left, piece.right - left] : [0, across];
  const core = new Uint8Array(across * down);
  for (let y = 0, at = 0; y < down; y++) {
    for (let x = 0; x < across; x++, at++) {
      const label = labels[(top + y) * width + left + x];
      if (label && x >= from && x < to && (label === piece.labels[0] || piece.labels.includes(label))) core[at] = 1;
    }
  }
  const isNear = widened(widened(core, across, down, 1, across), down, across, across, 1);
  const ink = new Float64Array(core.length);
  const inner = new Float64Array(core.length);
  let count = 0;
  for (let y = 0, at = 0; y < down; y++) {
    for (let x = 0, pixel = (top + y) * width + left; x < across; x++, at++, pixel++) {
      if (core[at]) inner[count++] = strength[pixel];
      if (core[at] || (isNear[at] && labels[pixel] === 0)) ink[at] = strength[pixel];
    }
  }
  const usual = quantile(inner.subarray(0, count), 0.7);
  for (let at = 0; at < ink.length; at++) if (ink[at] > 0) ink[at] = clamp((ink[at] / usual - 0.08) / 0.92, 0, 1);
  return toMnist(ink, across, down);
}

/** Widen a mask along its lines of `length` pixels by the width of a soft edge. */
function widened(mask, length, lines, step, next) {
  const result = new Uint8Array(mask.length);
  for (let line = 0; line < lines; line++) {
    for (let n = 0; n < length; n++) {
      if (!mask[line * next + n * step]) continue;
      const end = Math.min(length - 1, n + SOFT);
      for (let k = Math.max(0, n - SOFT); k <= end; k++) result[line * next + k * step] = 1;
    }
  }
  return result;
}
