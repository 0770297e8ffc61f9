// Run the worker's script as the page has it: messages as JSON on standard input, its answers on standard output.
import { readFileSync } from "node:fs";

const { script, messages } = JSON.parse(readFileSync(0, "utf8"));
const answers = [];
globalThis.self = { postMessage: (message) => answers.push(message) };
(0, eval)(script);
for (const { pause, ...data } of messages) {
  for (const name of ["image", "ink"]) {
    const holder = name === "ink" ? data.drawing : data;
    if (holder?.[name]) holder[name] = Uint8Array.from(holder[name]);
  }
  self.onmessage({ data });
  if (pause) await new Promise((resolve) => setTimeout(resolve, pause));
}
process.stdout.write(JSON.stringify(answers, (_, value) => (ArrayBuffer.isView(value) ? [...value] : value)));
