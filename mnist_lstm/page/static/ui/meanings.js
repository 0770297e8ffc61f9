/** What the values in the cells' equations are called, as in `mnist_lstm/explain`, and what they do, in plain words. */

/** Gates are between 0 and 1; the other values may be below zero. */
export const MEANINGS = {
  lstm: {
    i: { name: "input gate", isGate: true, text: "How much of the new idea is written down. Yellow: all of it." },
    f: { name: "forget gate", isGate: true, text: "How much of the old memory is kept. Dark: it is forgotten." },
    g: { name: "candidate", isGate: false, text: "The new idea: what this row would add to the memory, or take away." },
    o: { name: "output gate", isGate: true, text: "How much of the memory is let out. Dark: it keeps quiet for now." },
    c: { name: "cell state", isGate: false, text: "The memory. A stripe that goes down is something it remembers." },
    h: { name: "hidden state", isGate: false, text: "What it says: the part of the memory that the others can hear." },
  },
  gru: {
    r: { name: "reset gate", isGate: true, text: "How much of the past it looks at to have a new idea." },
    z: { name: "update gate", isGate: true, text: "How much of the past is kept. Dark: the new idea takes its place." },
    n: { name: "candidate", isGate: false, text: "The new idea: what this row would put into the memory." },
    h: { name: "hidden state", isGate: false, text: "The memory, and what the others can hear, both in one." },
  },
  rnn: {
    h: { name: "hidden state", isGate: false, text: "All that it remembers. Without gates, each row writes over it." },
  },
};

/**
 * What all units of a place do.
 *
 * @param {number} layer from 1
 * @param {string} direction forward or backward
 * @param {boolean} isHalf whether other units of the layer go the other way
 * @param {string} word row or column
 */
export function describePlace(layer, direction, isHalf, word) {
  const what = layer === 1 ? `looks at the ${word}s of the digit` : `listens to what layer ${layer - 1} says`;
  const [start, end] = word === "row" ? ["top", "bottom"] : ["left", "right"];
  const way = direction === "forward" ? `from the ${start} to the ${end}` : `from the ${end} to the ${start}`;
  return `Layer ${layer} ${what}. ${isHalf ? "This half of it" : "It"} goes ${way}.`;
}

/** @param {{cell, hidden_size, num_layers, bidirectional}} options of the network */
export function introduceUnits(options, word) {
  const places = options.num_layers * (options.bidirectional ? 2 : 1);
  const count = options.hidden_size * places;
  const what = {
    lstm: "Each has a memory, and three gates that open and close: one to write, one to forget, one to speak.",
    gru: "Each has a memory, and two gates that open and close.",
    rnn: "Each remembers one number.",
  }[options.cell];
  return (
    `The network is made of ${count} small units. ${what} In these maps every unit is a thin stripe from top to ` +
    `bottom, beside the ${word} that was read. As a rule, those on the left are loudest near the top, those on ` +
    `the right near the bottom.`
  );
}
