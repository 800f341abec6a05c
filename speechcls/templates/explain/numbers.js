// Arrays of the page: decoded from text, multiplied. A matrix is { shape: [rows, columns], values }.

function decode(node) {
  if (node === null || typeof node !== "object") return node;
  if (Array.isArray(node)) return node.map(decode);
  if (!("float32" in node)) return Object.fromEntries(Object.entries(node).map(([name, each]) => [name, decode(each)]));
  const bytes = Uint8Array.from(atob(node.float32), letter => letter.charCodeAt(0));
  return { shape: node.shape, values: new Float32Array(bytes.buffer) };
}

// Matrix times vector, plus a bias if there is one.
function multiply(matrix, vector, bias) {
  const [rows, columns] = matrix.shape, result = new Float64Array(rows);
  for (let i = 0; i < rows; i++) {
    let sum = bias ? bias.values[i] : 0;
    for (let j = 0, at = i * columns; j < columns; j++, at++) sum += matrix.values[at] * vector[j];
    result[i] = sum;
  }
  return result;
}

const sigmoid = a => .5 * (1 + Math.tanh(.5 * a));

function softmax(logits) {
  const most = Math.max(...logits), powers = Array.from(logits, each => Math.exp(each - most));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map(each => each / sum);
}

function concatenate(parts) {
  const whole = new Float64Array(parts.reduce((n, part) => n + part.length, 0));
  let at = 0;
  for (const part of parts) { whole.set(part, at); at += part.length; }
  return whole;
}
