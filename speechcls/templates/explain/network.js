// The network of the page, from frames of features to the probability of each label.
//
// A change says what is done to it: { frames, held: [{ layer, way, gate, unit, value }], silenced:
// [{ layer, way, unit }] }, where unit is null for all units; of a silenced one nobody sees a state.

function readNetwork(content) {
  const network = decode(content);
  network.layers.forEach(layer => Object.values(layer).forEach(direction => {
    const gate = direction.gates[Object.keys(direction.gates)[0]];
    direction.n_units = gate.w_x.shape[0];
    direction.size = direction.w_hr ? direction.w_hr.shape[0] : direction.n_units;
    direction.extra = direction.alpha_logit ? { alpha: sigmoid(direction.alpha_logit.values[0]), beta: sigmoid(direction.beta_logit.values[0]) } : {};
  }));
  const [n, width] = network.frames.shape;
  network.frames = Array.from({ length: n }, (_, i) => network.frames.values.subarray(i * width, (i + 1) * width));
  return network;
}

// Every value of one pass: the inputs of each layer, its gates and states, and what comes of them.
function runNetwork(network, change = {}) {
  const frames = change.frames ?? network.frames;
  let inputs = stepsOf(network, frames);
  const layers = network.layers.map((layer, number) => {
    const ways = Object.fromEntries(Object.entries(layer).map(([way, direction]) =>
      [way, runDirection(network.cell, direction, inputs, way, changesAt(change, number, way))]));
    const outputs = inputs.map((_, t) => concatenate(Object.values(ways).map(each => each.hidden[t])));
    const result = { inputs, ways, outputs };
    inputs = outputs;
    return result;
  });
  const { vectors, attention } = readOut(network, inputs);
  const logits = vectors.map(vector => multiply(network.output.weight, vector, network.output.bias));
  return { layers, attention, logits, ...answerOf(network, logits) };
}

// What the front end makes of frames, which takes the longest: kept until there are other frames.
function stepsOf(network, frames) {
  if (network.read?.frames !== frames) network.read = { frames, steps: frontEnd(network.front, frames, network.is_streaming) };
  return network.read.steps;
}

function changesAt({ held = [], silenced = [] }, layer, way) {
  const here = each => each.layer === layer && each.way === way;
  const isOf = (each, unit) => each.unit === null || each.unit === unit;
  const [holds, silences] = [held.filter(here), silenced.filter(here)];
  return {
    held: unit => (gate, value) => holds.find(each => each.gate === gate && isOf(each, unit))?.value ?? value,
    isSilent: unit => silences.some(each => isOf(each, unit)),
  };
}

function runDirection(cell, direction, inputs, way, { held, isSilent }) {
  const n = inputs.length, { n_units, size } = direction, kind = CELLS[cell];
  const trace = { hidden: new Array(n), gates: {}, before: new Array(n) };
  let h = new Float64Array(size), c = new Float64Array(n_units);
  const holds = Array.from({ length: n_units }, (_, unit) => held(unit));
  for (let i = 0; i < n; i++) {
    const t = way === "reverse" ? n - 1 - i : i;
    const sums = gateSums(direction, inputs[t], h), shown = new Float64Array(n_units), cells = new Float64Array(n_units);
    trace.before[t] = { h, c };
    for (let unit = 0; unit < n_units; unit++) {
      const one = kind.unit(sums(unit), { h: h[unit], c: c[unit] }, holds[unit], direction.extra);
      for (const gate in one.gates) (trace.gates[gate] ??= Array.from({ length: n }, () => new Float64Array(n_units)))[t][unit] = one.gates[gate];
      shown[unit] = isSilent(unit) ? 0 : one.h;
      cells[unit] = one.c ?? 0;
    }
    trace.hidden[t] = h = direction.w_hr ? multiply(direction.w_hr, shown) : shown;
    c = cells;
  }
  return trace;
}

// What the weights of every gate make of input and state, as a function of the unit.
function gateSums({ gates }, x, h) {
  const parts = Object.entries(gates).map(([gate, { w_x, b_x, w_h, b_h }]) =>
    [gate, multiply(w_x, x, b_x), w_h ? multiply(w_h, h, b_h) : null]);
  return unit => Object.fromEntries(parts.map(([gate, fromInput, fromState]) =>
    [gate, { x: fromInput[unit], h: fromState ? fromState[unit] : 0, hasState: fromState !== null }]));
}

function readOut({ readout, layers }, outputs) {
  const last = outputs.length - 1, top = layers[layers.length - 1];
  if (readout.kind === "stream") return { vectors: outputs, attention: null };
  if (readout.kind === "mean") return { vectors: [outputs[0].map((_, j) => outputs.reduce((sum, row) => sum + row[j], 0) / outputs.length)], attention: null };
  if (readout.kind === "attention") {
    const scores = outputs.map(row => multiply(readout.score_weight, multiply(readout.project_weight, row, readout.project_bias).map(Math.tanh)));
    const n_heads = scores[0].length, part = outputs[0].length / n_heads;
    const byHead = Array.from({ length: n_heads }, (_, head) => softmax(scores.map(row => row[head])));
    const vector = outputs[0].map((_, j) => outputs.reduce((sum, row, t) => sum + byHead[Math.floor(j / part)][t] * row[j], 0));
    return { vectors: [vector], attention: outputs.map((_, t) => byHead.map(head => head[t])) };
  }
  if (!top.reverse) return { vectors: [outputs[last]], attention: null };
  const half = top.forward.size;
  return { vectors: [concatenate([outputs[last].subarray(0, half), outputs[0].subarray(half)])], attention: null };
}

// The probability of each label at each step, words of one label summed; and those that count.
function answerOf({ n_labels, label_of_word, temperature, is_streaming }, logits) {
  const rows = logits.map(each => {
    const byLabel = new Array(n_labels).fill(0);
    softmax(each).forEach((p, word) => { byLabel[label_of_word[word]] += p; });
    return byLabel;
  });
  const height = row => Math.max(...row.slice(0, -1));
  const best = is_streaming ? rows.reduce((at, row, i) => height(row) > height(rows[at]) ? i : at, 0) : 0;
  const tempered = rows.map(row => {
    const most = Math.max(...row), powers = row.map(p => (p / most) ** (1 / temperature)), sum = powers.reduce((a, b) => a + b, 0);
    return powers.map(p => p / sum);
  });
  return { rows: tempered, best, probabilities: tempered[best] };
}
