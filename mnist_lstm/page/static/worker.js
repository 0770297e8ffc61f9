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
import { finish, readDrawing } from "./picture/reading.js";

const SLICE = 20; // milliseconds of work after which the worker looks for messages
const QUIET = 60; // milliseconds without another drawing before it reads row by row: answers come first

let network;
let threshold = 0.5;
let newest; // number of the newest drawing
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
    newest = data.id;
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
  if (image) answer(id, readDigit(Uint8Array.from(image)), start);
  else work(id, readDrawing(drawing, classify, threshold), (found) => answer(id, found, start));
}

/** Send what was found in a drawing, and soon the predictions after each row. */
function answer(id, { status, image, probabilities: found }, start) {
  const isOne = status === "ok" || status === "unsure";
  const probabilities = isOne ? Float32Array.from(found) : new Float32Array(10);
  const digit = isOne ? probabilities.indexOf(Math.max(...probabilities)) : null;
  const seen = isOne ? image : new Uint8Array(SIZE * SIZE);
  const sequence = network.sequence(seen);
  current = { id, sequence };
  const milliseconds = performance.now() - start;
  const deskewed = network.asInk(sequence);
  self.postMessage({ type: "answer", id, status, digit, probabilities, image: seen, deskewed, milliseconds });
  if (isOne) setTimeout(predict, QUIET, id, seen);
}

/** Send the predictions after each row, unless another drawing has come. */
function predict(id, seen) {
  if (id !== newest) return;
  work(id, collect(readRowByRow(network, seen)), (predictions) =>
    self.postMessage({ type: "predictions", id, predictions, settles: settlesAt(predictions) }),
  );
}

/** Go on step by step, and stop as soon as another drawing has come. */
function work(id, steps, done) {
  const end = performance.now() + SLICE;
  let step = steps.next();
  while (!step.done && performance.now() < end) step = steps.next();
  if (step.done) done(step.value);
  else if (id === newest) setTimeout(work, 0, id, steps, done);
}

/** All rows as one array. */
function* collect(rows) {
  const all = [];
  for (const row of rows) {
    all.push(...row);
    yield;
  }
  return Float32Array.from(all);
}

const classify = (image) => network.classify(network.sequence(image));

/** Read a digit that is in MNIST's form already. */
function readDigit(image) {
  const probabilities = classify(image);
  return { status: Math.max(...probabilities) >= threshold ? "ok" : "unsure", image, probabilities };
}

/** Read some bars of ink: a browser translates code to something faster only after it has run a few times. */
function warmUp() {
  const side = 450;
  const ink = new Uint8Array(side * side);
  for (let row = 100; row < 350; row++) ink.fill(255, row * side + 200, row * side + 230);
  for (let n = 0; n < 4; n++) finish(readDrawing({ width: side, height: side, ink }, classify, threshold));
}
