// The gates of a layer, the cell that is chosen in them, and its unit over time.

let moment = data.decisive_s ?? data.end_s / 2;
// Of the panels of a layer: row and step, and whether it is a row of projected states (lstmp).
const chosen = { layer: (data.layer ?? 1) - 1, row: 0, step: 0, isProjected: false };
const gatePanels = () => data.layers[chosen.layer].panels;

// The state of lstmp has other units than its gates.
function isProjected(panel) { return panel.rows.length !== gatePanels()[0].rows.length; }

// Direction and index of the chosen unit.
function chosenUnit() {
  const panel = chosen.isProjected ? gatePanels().at(-1) : gatePanels()[0];
  const [way, unit] = panel.units[chosen.row];
  return { layer: chosen.layer, way, unit, n_units: panel.units.filter(each => each[0] === way).length };
}

function picked(panel, row) {
  if (!panel.name) playFrom(moment);
  else if (row !== null) { choose(row, indexAt(panel, moment), isProjected(panel)); say(); }
}

function choose(row, step = chosen.step, projected = false) {
  const gates = gatePanels(), n_rows = (projected ? gates.at(-1) : gates[0]).rows.length;
  chosen.isProjected = projected;
  chosen.row = Math.min(n_rows - 1, Math.max(0, row));
  chosen.step = Math.min(gates[0].times_s.length - 1, Math.max(0, step));
  at("unit").value = chosen.row + 1; at("unit").max = n_rows;
  at("step").value = chosen.step + 1; at("step").max = gates[0].times_s.length;
  for (const gate of gates) gate.marked = isProjected(gate) === projected ? { row: chosen.row, step: chosen.step } : null;
  showUnit(gates.filter(gate => isProjected(gate) === projected));
  showArithmetic();
  showMemory();
  redraw();
}

function gateKeys(event) {
  const by = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
  if (!by) return;
  event.preventDefault();
  const panel = gatePanels().find(each => each.canvas === event.currentTarget);
  choose(chosen.row + by[0], chosen.step + by[1], isProjected(panel));
  move(panel.times_s[chosen.step]); say();
}

// One unit: the values of all its gates.
function showUnit(gates) {
  const all = gates.flatMap(gate => gate.rows[chosen.row]), { way } = chosenUnit();
  const direction = gates[0].n_forward < gates[0].rows.length ? ` (${way})` : "";
  panels = panels.filter(panel => !panel.isUnit);
  at("unit-panel").replaceChildren();
  add({
    isUnit: true, kind: "curves", title: `the unit in row ${chosen.row + 1}${direction}: all its gates`, unit: "value", height: 1.3,
    times_s: gates[0].times_s, series: gates.map(gate => gate.rows[chosen.row]), names: gates.map(gate => gate.name),
    n_named: 6, n_thick: 0, is_area: false, limits: [Math.min(-.05, ...all), Math.max(1, ...all)],
  }, at("unit-panel"));
}

function showLayer(layer) {
  panels = panels.filter(panel => !panel.name && !panel.isUnit);
  chosen.layer = layer - 1;
  const { title, panels: gates } = data.layers[chosen.layer];
  at("layer-title").textContent = title;
  at("inside").replaceChildren();
  gates.forEach(gate => add(gate, at("inside"), gateKeys));
  element("div", at("inside")).id = "unit-panel";
  showRows();
  choose(chosen.row, indexAt(gates[0], moment));
}

// The values of the network as it is now, changed or not.
function showRows() {
  if (!network) return;
  for (const panel of gatePanels()) {
    const values = ([way, unit], name = panel.name) => {
      const trace = current.layers[chosen.layer].ways[way];
      return (name === "state" ? trace.hidden : trace.gates[name]).map(row => row[unit]);
    };
    setRows(panel, panel.units.map(each => values(each)));
  }
}

function move(time_s) {
  moment = Math.min(data.end_s, Math.max(0, time_s));
  at("moment").value = moment;
  at("shown").textContent = summary();
  redraw();
}

// For screen readers: not at every step of the sound.
function say() { at("said").textContent = (stage ? `${nameOfStage(stage)}; ` : "") + summary() + (data.layers.length ? `; ${cellSummary()}` : ""); }

function cellSummary() {
  const { way, unit } = chosenUnit(), gates = gatePanels().filter(gate => gate.marked);
  return `layer ${chosen.layer + 1}, ${way}, unit ${unit}: ` + gates.map(gate => `${gate.name} ${number(gate.rows[chosen.row][chosen.step])}`).join(", ");
}

function summary() {
  const panel = data.inputs.find(each => each.kind === "curves"), i = indexAt(panel, moment);
  const best = panel.names.map((name, k) => [panel.series[k][i], name]).sort((a, b) => b[0] - a[0]).slice(0, 3);
  return `${number(moment)} s: ` + best.map(([p, name]) => `${name} ${number(p)}`).join(", ");
}
