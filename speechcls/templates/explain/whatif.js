// What if: gates that are held, units that are silenced, sound that is cut or moved.

// In the order in which they were made: { kind: hold | silence | cut | move, text, ... }.
const changes = [];

// What they are together, for runNetwork.
function change() {
  const of = kind => changes.filter(each => each.kind === kind);
  return { frames: changedFrames(), held: of("hold"), silenced: of("silence") };
}

function changedFrames() {
  return changes.reduce((frames, each) => ["cut", "move"].includes(each.kind) ? changeFrames(frames, each) : frames, network.frames);
}

// Frames from (included) to (not included) are silence, and of a moved sound others are what they were.
function changeFrames(frames, { kind, from, to, by }) {
  const changed = frames.slice();
  for (let i = from; i < to; i++) changed[i] = network.silence.values;
  if (kind === "move") for (let i = from; i < to; i++) if (frames[i + by]) changed[i + by] = frames[i];
  return changed;
}

function addChange(each) { changes.push(each); apply(); }

function apply() {
  current = changes.length ? runNetwork(network, change()) : original;
  setRows(featurePanel(), featurePanel().rows.map((_, row, rows) => Array.from(change().frames, frame => frame[rows.length - 1 - row])));
  showRows();
  choose(chosen.row, chosen.step, chosen.isProjected);
  showChanges();
}

function featurePanel() { return data.inputs.find(panel => panel.kind === "image" && panel.title.startsWith("input of the network")); }

function showChanges() {
  const list = at("changes");
  list.replaceChildren();
  changes.forEach((each, i) => {
    const item = element("li", list, each.text + " "), button = element("button", item, "undo");
    button.setAttribute("aria-label", `undo: ${each.text}`);
    button.addEventListener("click", () => { changes.splice(i, 1); apply(); at("undo").focus(); });
  });
  at("undo").disabled = !changes.length;
  const { probabilities } = current, best = probabilities.indexOf(Math.max(...probabilities));
  at("answer").textContent = changes.length
    ? `Now the answer is ${data.labels[best]} (${number(probabilities[best], 4)}); before: ${data.answer} (${number(Math.max(...original.probabilities), 4)}). The panels above show the changed network.`
    : `Nothing is changed: the answer is ${data.answer} (${number(Math.max(...probabilities), 4)}).`;
  showLabels(probabilities);
}

// The labels that matter, before and now; all others are summed up.
function showLabels(probabilities) {
  const MOST = 10, before = original.probabilities, body = at("answers");
  const order = probabilities.map((_, i) => i).sort((a, b) => Math.max(before[b], probabilities[b]) - Math.max(before[a], probabilities[a]));
  body.replaceChildren();
  for (const i of order.slice(0, MOST)) {
    const bars = element("td", tableRow(body, data.labels[i], [before[i], probabilities[i]]), "", "bar");
    for (const [value, name] of [[before[i], "old"], [probabilities[i], "new"]]) element("i", bars, "", name).style.width = `${100 * value}%`;
  }
  const rest = order.slice(MOST), sum = values => rest.reduce((total, i) => total + values[i], 0);
  if (rest.length) tableRow(body, `${rest.length} others`, [sum(before), sum(probabilities), ""]);
}

// Frames that begin in a stretch of time, seconds.
function framesIn(from_s, to_s) {
  const index = time_s => Math.min(network.frames.length, Math.max(0, Math.round(time_s / network.frame_s)));
  return { from: index(from_s), to: index(to_s) };
}

let original = current;

function startWhatIf() {
  if (!network) { at("what-if").remove(); return; }
  const { holds } = CELLS[network.cell];
  at("hold-gate").hidden = !holds.length;
  for (const gate of holds) element("option", at("held-gate"), gate).value = gate;
  const unit = () => at("held-unit").value === "all" ? null : chosenUnit().unit;
  const where = () => `${network.layers.length > 1 ? `layer ${chosen.layer + 1}, ` : ""}${chosenUnit().way}, ${unit() === null ? "all units" : `unit ${unit()}`}`;
  at("hold").addEventListener("click", () => {
    if (chosen.isProjected) choose(0);
    const { layer, way } = chosenUnit(), gate = at("held-gate").value, value = +at("held-value").value;
    addChange({ kind: "hold", layer, way, gate, unit: unit(), value, text: `${where()}: ${gate} held ${value ? "open" : "shut"}` });
  });
  at("silence-unit").addEventListener("click", () => {
    if (chosen.isProjected) choose(0);
    const { layer, way } = chosenUnit();
    addChange({ kind: "silence", layer, way, unit: unit(), text: `${where()}: silent` });
  });
  at("from").value = number(Math.max(0, moment - .05)); at("to").value = number(Math.min(data.end_s, moment + .05));
  const stretch = () => framesIn(+at("from").value, +at("to").value), named = () => `${number(+at("from").value)} to ${number(+at("to").value)} s`;
  at("cut").addEventListener("click", () => addChange({ kind: "cut", ...stretch(), text: `${named()} silent` }));
  at("shift").addEventListener("click", () => {
    const by = Math.round(+at("by").value / network.frame_s);
    addChange({ kind: "move", ...stretch(), by, text: `${named()} moved by ${number(by * network.frame_s)} s` });
  });
  at("undo").addEventListener("click", () => { changes.length = 0; apply(); });
  showChanges();
}
