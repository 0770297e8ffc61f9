/**
 * LSTM, GRU and RNN by their equations, as `mnist_lstm/network/cells.py` has them. One call is one step of one layer in
 * one direction.
 *
 * `input` is W x + b of all gates and `recurrent` is U h' + d, both (blocks * H), one block of H numbers for each gate.
 * `before` is h' of the step before, and `values` takes what the step computes, each (H), by the names in the
 * equations; c' is found in `values.c`, which the step before has written.
 */

/** @param {number} x */
function sigmoid(x) {
  return 1 / (1 + Math.exp(-x));
}

/**
 * An LSTM decides at each step what to write into its memory c, what to keep there, and what to show of it.
 *
 *     i = s(W_i x + b_i + U_i h' + d_i)       input gate: how much of the candidate is written
 *     f = s(W_f x + b_f + U_f h' + d_f)       forget gate: how much of the old cell state is kept
 *     g = tanh(W_g x + b_g + U_g h' + d_g)    candidate
 *     o = s(W_o x + b_o + U_o h' + d_o)       output gate: how much of the cell state is shown
 *     c = f * c' + i * g                      cell state: the memory
 *     h = o * tanh(c)                         hidden state: what is shown
 */
function stepLSTM(input, inputAt, recurrent, before, values, units) {
  const { i, f, g, o, c, h } = values;
  for (let n = 0, at = inputAt; n < units; n++, at++) {
    i[n] = sigmoid(input[at] + recurrent[n]);
    f[n] = sigmoid(input[at + units] + recurrent[n + units]);
    g[n] = Math.tanh(input[at + 2 * units] + recurrent[n + 2 * units]);
    o[n] = sigmoid(input[at + 3 * units] + recurrent[n + 3 * units]);
    c[n] = f[n] * c[n] + i[n] * g[n];
    h[n] = o[n] * Math.tanh(c[n]);
  }
}

/**
 * A GRU has no memory apart from h: it mixes the old h with a candidate.
 *
 *     r = s(W_r x + b_r + U_r h' + d_r)           reset gate: how much of the old state the candidate sees
 *     z = s(W_z x + b_z + U_z h' + d_z)           update gate: how much of the old state is kept
 *     n = tanh(W_n x + b_n + r * (U_n h' + d_n))  candidate
 *     h = (1 - z) * n + z * h'
 */
function stepGRU(input, inputAt, recurrent, before, values, units) {
  const { r, z, n, h } = values;
  for (let k = 0, at = inputAt; k < units; k++, at++) {
    r[k] = sigmoid(input[at] + recurrent[k]);
    z[k] = sigmoid(input[at + units] + recurrent[k + units]);
    n[k] = Math.tanh(input[at + 2 * units] + r[k] * recurrent[k + 2 * units]);
    h[k] = (1 - z[k]) * n[k] + z[k] * before[k];
  }
}

/**
 * A plain RNN has no gates.
 *
 *     h = tanh(W x + b + U h' + d)
 */
function stepRNN(input, inputAt, recurrent, before, values, units) {
  const { h } = values;
  for (let n = 0, at = inputAt; n < units; n++, at++) h[n] = Math.tanh(input[at] + recurrent[n]);
}

/** By the name of the option `cell`: the names of the values, the number of blocks, and the step. */
export const CELLS = {
  lstm: { names: ["i", "f", "g", "o", "c", "h"], blocks: 4, step: stepLSTM },
  gru: { names: ["r", "z", "n", "h"], blocks: 3, step: stepGRU },
  rnn: { names: ["h"], blocks: 1, step: stepRNN },
};
