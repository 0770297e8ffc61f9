/**
 * The worker: reads digits beside the page, which stays free to follow the pen.
 *
 * It takes {type: "load", model}, {type: "read", id, drawing or image} and {type: "trace", id}, and answers with
 * {type: "ready"}, {type: "answer", id, ...}, then {type: "predictions", id, predictions, settles}, those
 * after each row, if nothing newer has come, and {type: "traced", id, places}.
 */

import { SIZE } from "./network/deskew.js";
import { readRowByRow, settlesAt } from "./network/predictions.js";
import { Network } from "./network/network.js";
import { readDrawing } from "./picture/reading.js";

let network;
let threshold = 0.5;
let waiting; // the newest drawing that has not been read
let current; // the digit that was read last

self.onmessage = ({ data }) => {
  if (data.type === "load") {
    network = new Network(data.model);
    threshold = data.model.threshold;
    warmUp();
    self.postMessage({ type: "ready" });
  } else if (data.type === "read") {
    // while one drawing is read, several may come in: only the newest is wanted, and it is there after this pause
    if (!waiting) setTimeout(readNewest);
    waiting = data;
  } else if (data.type === "trace" && current) {
    const places = network.trace(current.sequence);
    const buffers = places.flatMap(({ values }) => Object.values(values).map((array) => array.buffer));
    self.postMessage({ type: "traced", id: data.id, places }, buffers);
  }
};

function readNewest() {
  const { id, image, drawing } = waiting;
  waiting = undefined;
  const start = performance.now();
  const found = image ? readDigit(Uint8Array.from(image)) : readDrawing(drawing, classify, threshold);
  const isOne = found.status === "ok" || found.status === "unsure";
  const probabilities = isOne ? Float32Array.from(found.probabilities) : new Float32Array(10);
  const digit = isOne ? probabilities.indexOf(Math.max(...probabilities)) : null;
  const seen = isOne ? found.image : new Uint8Array(SIZE * SIZE);
  const sequence = network.sequence(seen);
  current = { id, sequence };
  const milliseconds = performance.now() - start;
  const { status } = found;
  const deskewed = network.asInk(sequence);
  self.postMessage({ type: "answer", id, status, digit, probabilities, image: seen, deskewed, milliseconds });
  if (isOne) sendPredictions(current, readRowByRow(network, seen), []);
}

const classify = (image) => network.classify(network.sequence(image));

/** Read a digit that is in MNIST's form already. */
function readDigit(image) {
  const probabilities = classify(image);
  return { status: Math.max(...probabilities) >= threshold ? "ok" : "unsure", image, probabilities };
}

/** Compute the prediction after each row, and stop as soon as another drawing has come. */
function sendPredictions(digit, rows, done) {
  if (digit !== current || waiting) return;
  const { value, done: isComplete } = rows.next();
  if (!isComplete) {
    done.push(...value);
    setTimeout(() => sendPredictions(digit, rows, done));
    return;
  }
  const predictions = Float32Array.from(done);
  self.postMessage({ type: "predictions", id: digit.id, predictions, settles: settlesAt(predictions) });
}

/** Read some bars of ink: a browser translates code to something faster only after it has run a few times. */
function warmUp() {
  const side = 450;
  const ink = new Uint8Array(side * side);
  for (let row = 100; row < 350; row++) ink.fill(255, row * side + 200, row * side + 230);
  for (let n = 0; n < 4; n++) readDrawing({ width: side, height: side, ink }, classify, threshold);
}
