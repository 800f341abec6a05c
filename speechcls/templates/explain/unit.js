// The arithmetic of a unit: its equations with their numbers, the weights behind a gate, all sizes.

const MOST_TERMS = 12;
let network = data.network.reason ? null : readNetwork(data.network);
let current = network && runNetwork(network), shownGate = "";

// How the value of a unit comes about at a step: before, sums, gates, h, and equations to read.
function arithmetic({ layer, way, unit }, step) {
  const direction = network.layers[layer][way], trace = current.layers[layer].ways[way], kind = CELLS[network.cell];
  const before = trace.before[step], own = { h: before.h[unit], c: before.c[unit] };
  const sums = gateSums(direction, current.layers[layer].inputs[step], before.h)(unit);
  const one = kind.unit(sums, own, changesAt(change(), layer, way).held(unit), direction.extra);
  const equations = kind.equations(sums, own, one, direction.extra);
  if (changesAt(change(), layer, way).isSilent(unit)) equations.push(equation("h", "0", "silenced", 0, "nobody sees what the unit would show"));
  return { ...one, before: own, sums, equations };
}

// The products of weights and values behind a gate, the largest first; of a GRU's candidate r scales h.
function products({ layer, way, unit }, step, gate) {
  const { w_x, b_x, w_h, b_h } = network.layers[layer][way].gates[gate];
  const x = current.layers[layer].inputs[step], { h } = current.layers[layer].ways[way].before[step];
  const scale = network.cell === "gru" && gate === "candidate" ? current.layers[layer].ways[way].gates.reset[step][unit] : 1;
  const row = (matrix, values, of, factor) => Array.from(values, (value, j) => {
    const weight = matrix.values[unit * values.length + j];
    return { of, index: j, weight, value, factor, product: weight * value * factor };
  });
  const bias = (b, of, factor) => b ? [{ of, index: null, weight: b.values[unit], value: 1, factor, product: b.values[unit] * factor }] : [];
  const terms = [...row(w_x, x, "x", 1), ...bias(b_x, "b_x", 1), ...(w_h ? row(w_h, h, "h", scale) : []), ...bias(b_h, "b_h", scale)];
  return terms.sort((a, b) => Math.abs(b.product) - Math.abs(a.product));
}

// The same of a projected state: a weighted sum of what every unit shows.
function projection({ layer, way, unit }, step) {
  const { gates } = current.layers[layer].ways[way], { w_hr, n_units } = network.layers[layer][way];
  const { isSilent } = changesAt(change(), layer, way);
  return Array.from({ length: n_units }, (_, j) => {
    const weight = w_hr.values[unit * n_units + j], value = isSilent(j) ? 0 : gates.output[step][j] * Math.tanh(gates.cell[step][j]);
    return { of: "m", index: j, weight, value, factor: 1, product: weight * value };
  }).sort((a, b) => Math.abs(b.product) - Math.abs(a.product));
}

function nameOf({ of, index }, layer) {
  if (index === null) return of === "b_x" ? "bias b_x" : "bias b_h";
  if (of === "m") return `m of unit ${index}`;
  if (of === "h") return `old h of unit ${index}`;
  if (layer === 0) return network.front.kind === "none" ? `feature ${index}` : `front end ${index}`;
  const below = network.layers[layer - 1], size = below.forward.size;
  const half = index < size ? "forward" : "reverse";
  return `layer ${layer}: ${below.reverse ? `${half} ` : ""}${index % size}`;
}

function showArithmetic() {
  if (!network) return;
  const place = chosenUnit(), { layer, way, unit, n_units } = place, { step } = chosen, times = gatePanels()[0].times_s;
  at("where").textContent = `Layer ${layer + 1} of ${network.layers.length}, ${way} direction, ${chosen.isProjected ? "projected state" : "unit"} ${unit} of 0 to ${n_units - 1},`
    + ` step ${step + 1} of ${times.length}, which ends at ${number(times[step])} s.`;
  at("equations").replaceChildren();
  if (chosen.isProjected) return showProjection(place, step);
  const { equations, sums } = arithmetic(place, step);
  for (const { symbol, formula, numbers, value, said } of equations) {
    const item = element("li", at("equations"));
    element("span", item, `${symbol} = ${formula}`, "formula");
    const line = element("span", item, `= ${numbers} = `, "numbers");
    element("b", line, number(value, 4));
    element("span", item, said, "soft");
  }
  const gates = CELLS[network.cell].gates;
  if (!gates.includes(shownGate)) shownGate = gates[0];
  at("of-gate").hidden = gates.length < 2;
  at("of-gate").querySelectorAll("input").forEach(input => { input.checked = input.value === shownGate; });
  const scale = network.cell === "gru" && shownGate === "candidate" ? arithmetic(place, step).gates.reset : 1;
  const { x, h } = sums[shownGate];
  showTerms(products(place, step, shownGate), place, x + scale * h, scale === 1 ? "" : `, h and b_h times r ${number(scale, 4)}`);
}

function showProjection(place, step) {
  const terms = projection(place, step), sum = terms.reduce((total, { product }) => total + product, 0);
  const item = element("li", at("equations"));
  element("span", item, "h = Σ P m", "formula");
  element("b", element("span", item, "= ", "numbers"), number(sum, 4));
  element("span", item, "the new state: what every unit shows, m = o·tanh(c), weighted", "soft");
  at("of-gate").hidden = true;
  showTerms(terms, place, sum, "");
}

function showTerms(terms, { layer }, sum, note) {
  const most = Math.abs(terms[0].product) || 1, body = at("terms");
  body.replaceChildren();
  for (const term of terms.slice(0, MOST_TERMS)) {
    const row = tableRow(body, nameOf(term, layer), [term.weight, term.value, term.product]);
    const bar = element("i", element("td", row, "", "bar"));
    bar.className = term.product < 0 ? "negative" : "positive";
    bar.style.width = `${100 * Math.abs(term.product) / most}%`;
  }
  const rest = terms.slice(MOST_TERMS), of = rest.reduce((total, { product }) => total + product, 0);
  if (rest.length) tableRow(body, `${rest.length} others`, ["", "", of, ""]);
  tableRow(body, "sum", ["", "", sum, ""]).className = "sum";
  at("terms-note").textContent = `Largest first${note}.`;
}

// Every matrix of the network, and how many weights it has.
function sizes() {
  const rows = [], add = (name, array) => rows.push([name, array.shape.join(" × ") || "1", array.values.length]);
  const { front } = network;
  if (front.kind === "block") { add("front end: weights of 4 frames", front.weight); add("front end: biases", front.bias); }
  (front.stages ?? []).forEach((stage, i) => { add(`front end: convolution ${i + 1}`, stage.weight); add(`front end: its biases`, stage.bias); });
  if (front.project) { add("front end: linear layer", front.project.weight); add("front end: its biases", front.project.bias); }
  network.layers.forEach((layer, i) => Object.entries(layer).forEach(([way, direction]) => {
    const where = `layer ${i + 1}${layer.reverse ? `, ${way}` : ""}`;
    const gates = Object.values(direction.gates), n = gates.length;
    for (const [part, name] of [["w_x", "W_x"], ["b_x", "b_x"], ["w_h", "W_h"], ["b_h", "b_h"]]) {
      const array = gates[0][part], shape = array?.shape.join(" × ");
      if (array) rows.push([`${where}: ${name}${n > 1 ? ", one a gate" : ""}`, n > 1 ? `${n} × (${shape})` : shape, n * array.values.length]);
    }
    if (direction.w_hr) add(`${where}: projection P`, direction.w_hr);
    for (const name of ["alpha_logit", "beta_logit"]) if (direction[name]) add(`${where}: ${name}`, direction[name]);
  }));
  for (const name of ["project_weight", "project_bias", "score_weight"]) if (network.readout[name]) add(`attention: ${name.replace("_", " ")}`, network.readout[name]);
  add("output: weights", network.output.weight); add("output: biases", network.output.bias);
  return rows;
}

function startArithmetic() {
  if (!network) {
    at("arithmetic-inside").replaceChildren();
    element("p", at("arithmetic-inside"), `Not on this page: ${data.network.reason}.`);
    return;
  }
  for (const gate of CELLS[network.cell].gates) {
    const label = element("label", at("of-gate")), input = element("input", label);
    Object.assign(input, { type: "radio", name: "gate", value: gate });
    input.addEventListener("change", () => { shownGate = gate; showArithmetic(); });
    label.append(` ${gate}`);
  }
  at("arithmetic").querySelector("details").open = innerWidth > 768;
  for (const [name, shape, n] of sizes()) tableRow(at("sizes"), name, [shape, n.toLocaleString("en")]).lastChild.className = "number";
}
