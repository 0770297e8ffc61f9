/**
 * Colours of pictures and heat maps: cividis for what lies between 0 and 1, blue and orange for signed values, so that
 * readers with any colour vision can tell them apart. Each is a table of 256 colours.
 */

/** Nine of the colours of Matplotlib's cividis, evenly spaced. */
const CIVIDIS = [
  ...[[0, 34, 78], [26, 56, 111], [67, 78, 108], [97, 101, 111], [125, 124, 120]],
  ...[[155, 148, 118], [188, 174, 108], [222, 201, 88], [254, 232, 56]],
];

/** @param {number[][]} stops red, green and blue of evenly spaced colours */
function tableOf(stops) {
  const table = new Uint8ClampedArray(256 * 3);
  for (let level = 0; level < 256; level++) {
    const at = (level / 255) * (stops.length - 1);
    const low = Math.min(Math.floor(at), stops.length - 2);
    for (let n = 0; n < 3; n++) table[3 * level + n] = stops[low][n] + (at - low) * (stops[low + 1][n] - stops[low][n]);
  }
  return table;
}

/** From 0 to 1. */
export const HEAT = tableOf(CIVIDIS);

const themeColour = (name) => {
  const text = getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  return [1, 3, 5].map((at) => parseInt(text.slice(at, at + 2), 16));
};

/** The tables that differ between the light and the dark page; `readTheme` fills them. */
export const themed = { ink: HEAT, signed: HEAT };

/** Take the colours of paper, ink and signed values from the style sheet. */
export function readTheme() {
  themed.ink = tableOf([themeColour("--sheet"), themeColour("--ink")]);
  themed.signed = tableOf([themeColour("--below"), themeColour("--zero"), themeColour("--above")]);
}

/**
 * Paint one pixel for each value; the style sheet makes them larger.
 *
 * @param {HTMLCanvasElement} canvas
 * @param {number} width
 * @param {number} height
 * @param {Uint8ClampedArray} table (256 * 3)
 * @param {(row: number, column: number) => number} share of the way through the table, 0 to 1
 */
export function paintPixels(canvas, width, height, table, share) {
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
  const context = canvas.getContext("2d");
  const pixels = context.createImageData(width, height);
  for (let row = 0, at = 0; row < height; row++) {
    for (let column = 0; column < width; column++, at += 4) {
      const level = 3 * Math.round(255 * Math.min(Math.max(share(row, column), 0), 1));
      pixels.data[at] = table[level];
      pixels.data[at + 1] = table[level + 1];
      pixels.data[at + 2] = table[level + 2];
      pixels.data[at + 3] = 255;
    }
  }
  context.putImageData(pixels, 0, 0);
}

/**
 * Paint a digit.
 *
 * @param {HTMLCanvasElement} canvas
 * @param {ArrayLike<number>} image (28 * 28)
 * @param {number} full the value of full ink
 */
export function paintDigit(canvas, image, full) {
  paintPixels(canvas, 28, 28, themed.ink, (row, column) => image[row * 28 + column] / full);
}
