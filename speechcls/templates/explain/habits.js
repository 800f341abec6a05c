// The units of a layer, and of the chosen one the moments that excite it most.

let unit = -1;

// An array of the page: its shape and its values.
function unpack({ shape, int16, float32, scale = 1 }) {
  const { buffer } = Uint8Array.from(atob(int16 ?? float32), letter => letter.charCodeAt(0));
  return { shape, values: int16 === undefined ? new Float32Array(buffer) : Float64Array.from(new Int16Array(buffer), each => each * scale) };
}

// The last row of an array at these indices of its first axes.
function rowOf({ shape, values }, ...indices) {
  const size = shape[shape.length - 1], index = indices.reduce((sum, each, axis) => sum * shape[axis] + each, 0);
  return Array.from(values.slice(index * size, (index + 1) * size));
}

for (const layer of data.layers) {
  for (const ranking of [layer.highest, layer.lowest]) for (const name of ["clips", "steps", "values"]) ranking[name] = unpack(ranking[name]);
  layer.means = unpack(layer.means);
}
const chosenLayer = () => data.layers[at("layer").value];
const isStill = (layer, i) => layer.moves[i] <= data.still;

// How often random clips agree as much.
function odds(chance) {
  if (chance > .15) return `${Math.round(10 * chance)} of 10`;
  const n = Math.round(1 / chance), power = 10 ** Math.max(0, Math.floor(Math.log10(n)) - 1);
  return `1 of ${(Math.round(n / power) * power).toLocaleString("en")}`;
}

const most = (ranking, i) => `${ranking.count[i]} of ${ranking.clips.shape[1]} ${data.labels[ranking.label[i]]}`;

// What is said of a list: the label, how often it is so by chance, and how many clips come as far.
function describe(ranking, i) {
  const clips = rowOf(ranking.clips, i).length, level = ranking.n_level[i];
  const said = `${most(ranking, i)}; of random lists ${odds(ranking.chance[i])} agree${odds(ranking.chance[i]).startsWith("1 of") ? "s" : ""} as much.`;
  return (ranking.agrees[i] ? "" : "No label in particular: ") + said + (level > clips ? ` ${level} clips come as far as these, to 4 decimals.` : "");
}

function momentsOf(ranking, i) {
  const clips = rowOf(ranking.clips, i), steps = rowOf(ranking.steps, i), values = rowOf(ranking.values, i);
  return clips.map((clip, j) => ({ clip, step: steps[j], value: values[j] }));
}

// A list of moments, each with what plays it and what shows the clips that are like it.
function listMoments(id, moments, digits, whole = false) {
  at(id).replaceChildren();
  for (const moment of moments) {
    const clip = data.clips[moment.clip], item = moment.item = element("li", at(id)), name = `${labelOf(clip)}, ${clip.name}`;
    const play = element("button", item, "▶");
    play.setAttribute("aria-label", `play ${name}`);
    play.addEventListener("click", () => playRow([moment], whole));
    element("span", item, labelOf(clip), "label");
    element("span", item, number(moment.value, digits), "number");
    const where = whole ? "" : ` at ${number(clip.begin_s + data.step_times_s[moment.step])} s`;
    const wrong = clip.is_wrong ? `, taken for ${clip.predicted} (${number(clip.probability)})` : "";
    element("span", item, `${clip.name}${where}${wrong}${clip.split === "train" ? ", trained on" : ""}`, "file");
    const like = element("button", item, "like it");
    like.setAttribute("aria-label", `clips like ${name}`);
    like.addEventListener("click", () => { showSimilar(moment.clip, moment.step); at("similar-title").scrollIntoView(); at("clip").focus({ preventScroll: true }); });
  }
  const button = at(`${id}-play`);
  button.onclick = () => playRow(moments, whole);
}

function showUnit(i) {
  unit = i;
  const layer = chosenLayer(), still = isStill(layer, i);
  for (const row of at("units").rows) {
    const chosen = +row.dataset.unit === i;
    row.classList.toggle("chosen", chosen);
    row.querySelector("button").setAttribute("aria-pressed", chosen);
  }
  at("unit-title").textContent = `Unit ${i} of layer ${layer.layer}, ${layer.way}` + (still ? ": its state never changes" : "");
  for (const name of ["highest", "lowest"]) {
    const ranking = layer[name];
    listMoments(name, momentsOf(ranking, i), 4);
    at(`${name}-said`).textContent = still ? "Any clip is as good as another." : describe(ranking, i);
    at(`${name}-said`).className = ranking.agrees[i] ? "agree" : "";
  }
  showMeans(layer, i);
}

function svg(tag, parent, attributes) {
  const made = parent.appendChild(document.createElementNS("http://www.w3.org/2000/svg", tag));
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

// One small picture a label, all on one scale, with the mean over the labels behind it.
function showMeans(layer, i) {
  const curves = Array.from({ length: data.n_curves }, (_, label) => rowOf(layer.means, i, label));
  const total = curves[0].map((_, t) => curves.reduce((sum, curve) => sum + curve[t], 0) / curves.length);
  const low = Math.min(0, ...curves.flat()), high = Math.max(0, ...curves.flat()), size = high - low || 1;
  const times = data.drawn.map(step => data.step_times_s[step]), end_s = times[times.length - 1] || 1;
  const path = curve => curve.map((value, t) => `${t ? "L" : "M"}${(100 * times[t] / end_s).toFixed(2)} ${(50 - 48 * (value - low) / size - 1).toFixed(2)}`).join("");
  const left = data.labels.length - data.n_curves;
  at("means-said").textContent = `From ${number(low)} to ${number(high)}, over the window of ${number(end_s)} s; dashed: the mean of these labels.` + (left ? ` ${left} labels with the fewest clips are left out.` : "");
  at("means").replaceChildren();
  curves.forEach((curve, label) => {
    const figure = element("figure", at("means")), most = curve.reduce((best, value, t) => Math.abs(value) > Math.abs(curve[best]) ? t : best, 0);
    element("figcaption", figure, `${data.labels[label]} (${data.counts[label]} clips)`);
    const picture = svg("svg", figure, { viewBox: "0 0 100 50", preserveAspectRatio: "none", role: "img", "aria-label": `mean state in ${data.labels[label]}, furthest from 0 at ${number(times[most])} s with ${number(curve[most])}` });
    const zero = 50 - 48 * -low / size - 1;
    svg("path", picture, { d: `M0 ${zero}L100 ${zero}`, class: "zero" });
    svg("path", picture, { d: path(total), class: "all" });
    svg("path", picture, { d: path(curve), class: "own" });
  });
}

// The table of units, in the order and with the label that are asked for.
function showUnits() {
  const layer = chosenLayer(), wanted = at("wanted").value, { highest, lowest } = layer;
  const has = i => [highest, lowest].some(each => each.agrees[i] && data.labels[each.label[i]] === wanted);
  const units = layer.moves.map((_, i) => i).filter(i => !wanted || has(i));
  const least = i => isStill(layer, i) ? 2 : Math.min(highest.chance[i], lowest.chance[i]);
  if (at("order").value === "agree") units.sort((a, b) => least(a) - least(b) || a - b);
  at("units").replaceChildren();
  for (const i of units) {
    const row = element("tr", at("units"));
    row.dataset.unit = i;
    const head = element("th", row);
    head.scope = "row";
    element("button", head, i);
    for (const ranking of [highest, lowest]) {
      element("td", row, isStill(layer, i) ? "never changes" : most(ranking, i), ranking.agrees[i] ? "agree" : "soft");
    }
    row.addEventListener("click", () => showUnit(i));
  }
  at("none").textContent = units.length ? "" : `No unit here has lists that agree on ${wanted}.`;
  showUnit(units.includes(unit) ? unit : units[0] ?? 0);
}

// Up and down move from unit to unit.
at("units").addEventListener("keydown", event => {
  const row = event.target.closest("tr"), next = { ArrowDown: row.nextElementSibling, ArrowUp: row.previousElementSibling }[event.key];
  if (next === undefined) return;
  event.preventDefault();
  if (next) { next.querySelector("button").focus(); next.click(); }
});

data.layers.forEach((layer, i) => { element("option", at("layer"), `${layer.layer}, ${layer.way} (${layer.moves.length} units)`).value = i; });
[...data.labels].sort().forEach(label => { element("option", at("wanted"), label).value = label; });
at("layer").value = data.layers.length - (data.layers[data.layers.length - 1].way === "reverse" ? 2 : 1);
const lists = data.layers.flatMap(({ highest, lowest }) => [highest, lowest]);
const agreeing = lists.map(each => each.agrees.filter(each => each).length).reduce((a, b) => a + b, 0);
at("verdict").textContent = `Of ${data.n_lists} lists (the highest and the lowest states of each unit) ${agreeing} agree on a label more than by chance.`;
for (const id of ["layer", "order", "wanted"]) at(id).addEventListener("change", () => { if (id !== "wanted") unit = -1; showUnits(); });
