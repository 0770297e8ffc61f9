/** What the page says, in sentences. */

const SURE = 0.9;
const LIKELY = 0.5;
const POSSIBLE = 0.3; // below it, a digit is not worth naming

/** A probability as a reader wants it: "99.9 %". */
export function formatPercent(probability) {
  if (probability >= 0.9995) return "> 99.9 %"; // nobody is ever quite sure
  if (probability >= 0.99) return `${(100 * probability).toFixed(1)} %`;
  if (probability < 0.005) return "0 %";
  return `${Math.round(100 * probability)} %`;
}

const withArticle = (digit) => (digit === 8 ? "an 8" : `a ${digit}`);

/** The digits, the most likely first. */
export function byLikelihood(probabilities) {
  return Array.from(probabilities.keys()).sort((a, b) => probabilities[b] - probabilities[a]);
}

/** Whether no digit is worth naming. */
export const isPuzzled = (probabilities) => Math.max(...probabilities) < POSSIBLE;

/** @param {{status, digit, probabilities}} answer of the worker */
export function describeAnswer({ status, digit, probabilities }) {
  if (status === "empty") return "There is no digit to read yet.";
  if (status === "several") return "This looks like more than one digit. It reads one at a time.";
  if (isPuzzled(probabilities)) return "It cannot tell what this is. Is it a digit?";
  const percent = formatPercent(probabilities[digit]).replace(">", "more than");
  if (status === "ok") return `It says ${digit}, and is ${percent} sure.`;
  if (probabilities[digit] >= LIKELY) return `Perhaps ${withArticle(digit)}, but something else is there as well.`;
  return `Perhaps ${withArticle(digit)}, but it is not sure: ${percent}.`;
}

/**
 * @param {Float32Array} probabilities after the rows read so far
 * @param {boolean} isEnd whether these are all
 */
export function describeThought(probabilities, isEnd) {
  const [first, second] = byLikelihood(probabilities);
  if (probabilities[first] >= SURE) return `It says ${first}.`;
  if (probabilities[first] >= LIKELY) return `It thinks of ${withArticle(first)}.`;
  if (isPuzzled(probabilities)) return isEnd ? "It cannot tell." : "It cannot tell yet.";
  return `Is it ${withArticle(first)}, or ${withArticle(second)}?`;
}

/**
 * The story of a whole reading.
 *
 * @param {Float32Array} predictions (28 * 10)
 * @param {number} settles row from which on the answer stays, from 1
 * @param {string} word row or column
 */
export function describeReading(predictions, settles, word) {
  const after = (row) => predictions.subarray((row - 1) * 10, row * 10);
  const [final] = byLikelihood(after(28));
  const before = [];
  for (let row = 1; row < settles; row++) {
    const [best] = byLikelihood(after(row));
    if (after(row)[best] >= LIKELY && best !== before.at(-1)) before.push(best);
  }
  const detours = before.filter((digit) => digit !== final);
  if (isPuzzled(after(28))) return "It does not settle: to the end, it cannot tell which digit this is.";
  const isSure = after(28)[final] >= LIKELY;
  const main = isSure
    ? `It settles on ${final} at ${word} ${settles}, and stays with it.`
    : `From ${word} ${settles} on it leans towards ${final}, without being sure.`;
  if (detours.length === 0) return main;
  const names = [...new Set(detours)].map(withArticle);
  const list = names.length > 1 ? `${names.slice(0, -1).join(", ")} and ${names.at(-1)}` : names[0];
  return `${main} Before that it thought of ${list} for a while.`;
}

/** A number with its sign, and a true minus. */
export function formatSigned(value) {
  const size = Math.abs(value).toFixed(2);
  return size === "0.00" ? size : `${value < 0 ? "−" : "+"}${size}`;
}

/**
 * What one unit does at one row.
 *
 * @param {Object<string, number>} now its values by name
 * @param {string} cell lstm, gru or rnn
 */
export function describeUnit(now, cell) {
  const share = (value) => `${Math.round(100 * value)} %`;
  if (cell === "lstm") {
    return (
      `keeps ${share(now.f)} of its old memory and writes down ${share(now.i)} of its new idea ` +
      `(${formatSigned(now.g)}). Its memory is now ${formatSigned(now.c)}, squeezed to between −1 and 1: ` +
      `${formatSigned(Math.tanh(now.c))}. It lets out ${share(now.o)} of this, and so it says ${formatSigned(now.h)}.`
    );
  }
  if (cell === "gru") {
    return (
      `looks at ${share(now.r)} of what it said before to have a new idea (${formatSigned(now.n)}). It keeps ` +
      `${share(now.z)} of the old and takes ${share(1 - now.z)} of the new, and so it says ${formatSigned(now.h)}.`
    );
  }
  return `says ${formatSigned(now.h)}.`;
}
