// Run the worker's script as the page has it: messages as JSON on standard input, its answers on standard output.
// `wait` is the type of the answer that is waited for after a message, `pause` the milliseconds before the next one, and
// `slow` makes each step of the work as long as a slice of it, on whatever machine.
import { readFileSync } from "node:fs";

const { script, messages, slow } = JSON.parse(readFileSync(0, "utf8"));
const answers = [];
globalThis.self = { postMessage: (message) => answers.push(message) };
const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
const isThere = (type, id) => answers.some((answer) => answer.type === type && answer.id === id);
if (slow) {
  let clock = 0;
  performance.now = () => (clock += 1000);
}
(0, eval)(script);
for (const { pause, wait, ...data } of messages) {
  for (const name of ["image", "ink"]) {
    const holder = name === "ink" ? data.drawing : data;
    if (holder?.[name]) holder[name] = Uint8Array.from(holder[name]);
  }
  self.onmessage({ data });
  if (pause) await sleep(pause);
  for (let n = 0; wait && n < 6000 && !isThere(wait, data.id); n++) await sleep(10);
}
process.stdout.write(JSON.stringify(answers, (_, value) => (ArrayBuffer.isView(value) ? [...value] : value)));
