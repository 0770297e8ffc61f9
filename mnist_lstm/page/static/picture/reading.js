/**
 * From a drawing to an answer: `Classifier` in `mnist_lstm/inference/classifier.py` and `reading.py` do the same with a
 * picture of the drawing.
 */

import { SIZE } from "../network/deskew.js";
import { measureInk } from "./ink.js";
import { cutOut, findSpans, sortIntoLines } from "./lines.js";
import { findParts, selectWriting } from "./parts.js";
import { bestPath } from "./path.js";
import { findPieces, high } from "./pieces.js";

const DIGIT = 0.3; // probability of the most likely digit below which ink is no digit
const LARGE = 0.5; // height of a mark that is no dot or dash, as a share of the digits' height

/**
 * Find the digits in a drawing, and read them, one more at each call of `next`: a bar alone may be cut in twenty ways,
 * and who draws on does not wait until all of them have been read.
 *
 * @param {{width: number, height: number, ink: Uint8Array}} drawing 0 paper to 255 ink
 * @param {(image: Uint8Array) => Float64Array} classify returns the probabilities of an image (28 * 28)
 * @param {number} threshold probability below which an answer is unsure
 * @yields {void}
 * @returns {{status: string, image: Uint8Array, probabilities: ?Float64Array}} status is ok, unsure, empty or several;
 *     image and probabilities are those of the first digit
 */
export function* readDrawing(drawing, classify, threshold) {
  const nothing = { status: "empty", image: new Uint8Array(SIZE * SIZE), probabilities: null };
  const ink = measureInk(drawing);
  if (!ink) return nothing;
  const { parts, labels } = findParts(ink);
  const writing = selectWriting(parts, ink);
  if (writing.length === 0) return nothing;
  const picture = { ...ink, labels };
  const { digits: pieces, rest } = findPieces(writing, picture);
  let certainty = 1; // probability that the ink was divided into digits in the right way
  const read = [];
  for (const pieceLine of sortIntoLines(pieces)) {
    const line = findSpans(pieceLine, picture);
    const answers = [];
    for (const { piece } of line.spans) {
      if (read.length + answers.length > 0) yield;
      answers.push(readImage(cutOut(piece, picture), high(piece), classify));
    }
    const { path, share } = bestPath(line, answers.map((answer) => answer.probability));
    certainty *= share;
    read.push(...path.map((n) => answers[n]));
  }
  const digits = read.filter((answer) => answer.probability >= DIGIT);
  const marks = [
    ...(digits.length ? read.filter((answer) => answer.probability < DIGIT) : []),
    ...rest.map((piece) => ({ height: high(piece) })),
  ];
  const answers = digits.length ? digits : read; // the only ink there is is read, whatever it is
  if (answers.length === 0) return nothing;
  const { image, probabilities, probability } = answers[0];
  if (answers.length > 1) return { status: "several", image, probabilities };
  const isMarked = marks.some((mark) => mark.height > LARGE * answers[0].height);
  const isSure = certainty * probability >= threshold && !isMarked;
  return { status: isSure ? "ok" : "unsure", image, probabilities };
}

/** Go on to the end of what is done step by step, and return what it returns. */
export function finish(steps) {
  let step;
  do step = steps.next();
  while (!step.done);
  return step.value;
}

function readImage(image, height, classify) {
  const probabilities = classify(image);
  return { image, height, probabilities, probability: Math.max(...probabilities) };
}
