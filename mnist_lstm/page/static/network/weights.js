/**
 * Unpack the network's weights: base64, and in it float16 numbers, half as long as the usual floats of a network.
 */

/**
 * @param {string} text base64
 * @returns {Uint8Array} its bytes
 */
export function decodeBase64(text) {
  const characters = atob(text);
  const bytes = new Uint8Array(characters.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = characters.charCodeAt(i);
  return bytes;
}

/**
 * Read little-endian float16 numbers: 1 bit for the sign, 5 for the exponent, 10 for the fraction.
 *
 * @param {Uint8Array} bytes (2 * N)
 * @returns {Float32Array} (N)
 */
export function decodeHalves(bytes) {
  const values = new Float32Array(bytes.length / 2);
  for (let i = 0; i < values.length; i++) {
    const bits = bytes[2 * i] | (bytes[2 * i + 1] << 8);
    const exponent = (bits >> 10) & 31;
    const fraction = bits & 1023;
    // below 2^-14 the numbers are evenly spaced down to zero
    const size = exponent === 0 ? fraction * 2 ** -24 : (1 + fraction / 1024) * 2 ** (exponent - 15);
    values[i] = bits & 0x8000 ? -size : size;
  }
  return values;
}

/**
 * @param {Float32Array} matrix (rows, columns), row by row
 * @returns {Float32Array} (columns, rows)
 */
export function transposed(matrix, rows, columns) {
  const result = new Float32Array(matrix.length);
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) result[j * rows + i] = matrix[i * columns + j];
  }
  return result;
}
