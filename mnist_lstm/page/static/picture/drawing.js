/** From a drawing on the canvas to a digit as MNIST has it. */

import { SIZE } from "../network/deskew.js";

const BOX = 20; // the longer side of a digit

/**
 * @param {{width: number, height: number, ink: Uint8Array}} drawing 0 paper to 255 ink
 * @returns {{digits: number, image: Uint8Array}} how many there are, and the first one (28 * 28)
 */
export function findDigits({ width, height, ink }) {
  const image = new Uint8Array(SIZE * SIZE);
  let [left, top, right, bottom] = [width, height, -1, -1];
  for (let at = 0; at < ink.length; at++) {
    if (ink[at] < 30) continue;
    const x = at % width;
    const y = Math.floor(at / width);
    [left, right, top, bottom] = [Math.min(left, x), Math.max(right, x), Math.min(top, y), Math.max(bottom, y)];
  }
  if (right < 0) return { digits: 0, image };
  const scale = Math.max(right - left + 1, bottom - top + 1) / BOX;
  for (let at = 0; at < image.length; at++) {
    const x0 = (left + right + 1) / 2 + ((at % SIZE) - SIZE / 2) * scale;
    const y0 = (top + bottom + 1) / 2 + (Math.floor(at / SIZE) - SIZE / 2) * scale;
    let sum = 0;
    let count = 0;
    for (let y = Math.floor(y0); y < y0 + scale; y++) {
      for (let x = Math.floor(x0); x < x0 + scale; x++, count++) {
        if (x >= 0 && y >= 0 && x < width && y < height) sum += ink[y * width + x];
      }
    }
    image[at] = sum / count;
  }
  return { digits: 1, image };
}
