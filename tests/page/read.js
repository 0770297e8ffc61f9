// Read digits with the page's own modules: cases as JSON on standard input, answers as JSON on standard output.
import { readFileSync } from "node:fs";

import { readRowByRow, settlesAt } from "./network/predictions.js";
import { Network } from "./network/network.js";

const answers = JSON.parse(readFileSync(0, "utf8")).map(({ model, images, short }) => {
  const network = new Network(model);
  return images.map((pixels) => {
    const image = Uint8Array.from(pixels);
    const sequence = network.sequence(image);
    if (short) return { probabilities: [...network.classify(sequence)] };
    const predictions = Float32Array.from([...readRowByRow(network, image)].flatMap((row) => [...row]));
    return {
      probabilities: [...network.classify(sequence)],
      sequence: [...sequence],
      ink: [...network.asInk(sequence)],
      predictions: [...predictions],
      settles: settlesAt(predictions),
      places: network.trace(sequence).map((place) => ({
        ...place,
        values: Object.fromEntries(Object.entries(place.values).map(([name, values]) => [name, [...values]])),
      })),
    };
  });
});
process.stdout.write(JSON.stringify(answers));
