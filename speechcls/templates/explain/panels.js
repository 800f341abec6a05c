// Panels over time: waveforms, images, curves, each a canvas with a caption and the values at a moment.
//
// The page that has them defines moment, picked(panel, row) and say(); data has end_s, palette, colours.

const MOST_MARKED = 40, LEFT = 46, RIGHT = 44, BOTTOM = 16, LABEL = "11px system-ui, sans-serif";
let panels = [];

// The column or point of a panel that is nearest to a time.
function indexAt(panel, time_s) {
  const t = panel.times_s, step = t.length > 1 ? t[1] - t[0] : 1;
  const i = panel.kind === "wave" ? Math.floor((time_s - t[0]) / step) : Math.round((time_s - t[0]) / step);
  return Math.min(t.length - 1, Math.max(0, i));
}

// rowKeys: what the arrow keys do, where the rows of an image can be chosen.
function add(panel, parent, rowKeys = null) {
  const figure = element("figure", parent);
  panel.caption = element("figcaption", figure, panel.title);
  panel.legend = element("p", figure, "", "legend");
  panel.canvas = element("canvas", figure);
  panel.canvas.setAttribute("role", rowKeys ? "application" : "img");
  panel.canvas.setAttribute("aria-label", panel.title + (rowKeys ? `, ${panel.rows.length} units over time: arrow keys choose a cell` : ""));
  if (rowKeys) { panel.canvas.tabIndex = 0; panel.canvas.addEventListener("keydown", rowKeys); }
  const rows = panel.kind === "image" ? panel.rows.length : 0;
  const tall = panel.name ? Math.min(240, Math.max(90, rows)) : 0;
  panel.canvas.style.height = Math.max(tall, 90 * panel.height) + BOTTOM + "px";
  panel.shown = panel.kind === "curves" ? panel.names.slice(0, panel.n_named) : [];
  panel.values = panel.shown.map((name, i) => {
    const item = element("span", panel.legend);
    element("i", item).style.background = panel.is_area ? data.palette[1] : data.palette[i];
    element("span", item, name + " ");
    return element("span", item);
  });
  panel.reading = panel.kind === "curves" ? null : element("span", panel.legend, "", "soft");
  panel.canvas.addEventListener("pointermove", event => { if (event.pointerType === "mouse") point(panel, event); });
  panel.canvas.addEventListener("pointerdown", event => {
    if (event.button) return;
    point(panel, event);
    picked(panel, rowAt(panel, event));
  });
  panel.canvas.addEventListener("pointerleave", () => { if (panel.reading) panel.reading.textContent = ""; });
  panels.push(panel);
}

// New values of an image, of which the pixels are made anew.
function setRows(panel, rows) { panel.rows = rows; panel.pixels = null; }

// New curves of a panel, with the same names.
function setContent(panel, { title, series, limits }) {
  Object.assign(panel, { title, series, limits });
  panel.caption.textContent = title;
  panel.canvas.setAttribute("aria-label", title);
}

function place(panel) {
  const width = panel.canvas.clientWidth, height = panel.canvas.clientHeight;
  return {
    width, height, right: width - RIGHT, bottom: height - BOTTOM,
    x: time_s => LEFT + (width - RIGHT - LEFT) * time_s / data.end_s,
    y: value => (height - BOTTOM - 3) * (panel.limits[1] - value) / (panel.limits[1] - panel.limits[0]) + 1,
  };
}

function rowAt(panel, event) {
  if (panel.kind !== "image") return null;
  const { bottom } = place(panel), y = event.offsetY / bottom;
  return y >= 0 && y < 1 ? Math.floor(y * panel.rows.length) : null;
}

function point(panel, event) {
  const { right } = place(panel);
  move(data.end_s * (event.offsetX - LEFT) / (right - LEFT));
  const row = rowAt(panel, event), i = indexAt(panel, moment);
  if (row !== null) {
    const [top, bottom] = panel.edges, middle = top + (bottom - top) * (row + .5) / panel.rows.length;
    const where = panel.name ? `row ${row + 1}` : panel.unit === "kHz" ? `${number(middle)} kHz` : `${panel.unit} ${Math.floor(middle)}`;
    panel.reading.textContent = `${number(moment)} s, ${where}: ${number(panel.rows[row][i])}`;
  } else if (panel.kind === "wave") {
    panel.reading.textContent = `${number(moment)} s: ${number(panel.low[i], 3)} to ${number(panel.high[i], 3)}`;
  }
}

let waiting = false;
function redraw() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => { waiting = false; panels.forEach(draw); });
}

// Any page: sound and slider move the moment, and in print the colours are those of paper.
function followSound() {
  at("moment").max = data.end_s;
  at("moment").addEventListener("input", event => { at("sound").currentTime = +event.target.value; move(+event.target.value); say(); });
  at("speed").addEventListener("change", event => { at("sound").playbackRate = +event.target.value; });
  at("sound").playbackRate = at("sound").defaultPlaybackRate = +at("speed").value;
  const follow = () => { move(at("sound").currentTime); if (!at("sound").paused) requestAnimationFrame(follow); };
  at("sound").addEventListener("play", follow);
  at("sound").addEventListener("pause", say);
  new ResizeObserver(redraw).observe(document.body);
  for (const [event, printing] of [["beforeprint", true], ["afterprint", false]]) addEventListener(event, () => { onPaper = printing; panels.forEach(draw); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
}

function playFrom(time_s) { at("sound").currentTime = time_s; at("sound").play(); say(); }
