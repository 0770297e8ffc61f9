/**
 * The worker: reads digits beside the page, which stays free to follow the pen.
 *
 * It takes {type: "load", model}, {type: "read", id, drawing or image} and {type: "trace", id}, and answers with
 * {type: "ready"}, {type: "answer", id, ...}, then {type: "beliefs", id, beliefs, settles} if nothing newer has come,
 * and {type: "traced", id, places}.
 */

import { readRowByRow, settlesAt } from "./network/beliefs.js";
import { SIZE } from "./network/deskew.js";
import { Network } from "./network/network.js";
import { findDigits } from "./picture/drawing.js";

let network;
let threshold = 0.5;
let waiting; // the newest drawing that has not been read
let current; // the digit that was read last

self.onmessage = ({ data }) => {
  if (data.type === "load") {
    network = new Network(data.model);
    threshold = data.model.threshold;
    network.classify(network.sequence(new Uint8Array(SIZE * SIZE))); // the first reading takes longer than others
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
  const found = image ? { digits: 1, image: Uint8Array.from(image) } : findDigits(drawing);
  const sequence = network.sequence(found.image);
  const probabilities = Float32Array.from(network.classify(sequence));
  const probability = Math.max(...probabilities);
  const digit = found.digits === 1 ? probabilities.indexOf(probability) : null;
  let status = probability >= threshold ? "ok" : "unsure";
  if (found.digits !== 1) status = found.digits === 0 ? "empty" : "several";
  current = { id, image: found.image, sequence };
  const milliseconds = performance.now() - start;
  const deskewed = network.asInk(sequence);
  self.postMessage({ type: "answer", id, status, digit, probabilities, image: found.image, deskewed, milliseconds });
  if (found.digits === 1) sendBeliefs(current, readRowByRow(network, found.image), []);
}

/** Compute the beliefs row by row, and stop as soon as another drawing has come. */
function sendBeliefs(digit, rows, done) {
  if (digit !== current || waiting) return;
  const { value, done: isComplete } = rows.next();
  if (!isComplete) {
    done.push(...value);
    setTimeout(() => sendBeliefs(digit, rows, done));
    return;
  }
  const beliefs = Float32Array.from(done);
  self.postMessage({ type: "beliefs", id: digit.id, beliefs, settles: settlesAt(beliefs) });
}
