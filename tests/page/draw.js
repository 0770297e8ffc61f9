// Read drawings with the page's own modules: a case as JSON on standard input, answers as JSON on standard output.
import { readFileSync } from "node:fs";

import { Network } from "./network/network.js";
import { decodeBase64 } from "./network/weights.js";
import { finish, readDrawing } from "./picture/reading.js";

const { model, drawings } = JSON.parse(readFileSync(0, "utf8"));
const network = new Network(model);
const classify = (image) => network.classify(network.sequence(image));
const answers = drawings.map(({ width, height, ink }) => {
  const answer = finish(readDrawing({ width, height, ink: decodeBase64(ink) }, classify, model.threshold));
  return { ...answer, image: [...answer.image], probabilities: answer.probabilities && [...answer.probabilities] };
});
process.stdout.write(JSON.stringify(answers));
