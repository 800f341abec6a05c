// How a panel is drawn, and the pixels of images.

function draw(panel) {
  const where = place(panel), { width, height, right, bottom, x } = where, ratio = window.devicePixelRatio || 1;
  if (!width) return;
  panel.canvas.width = width * ratio; panel.canvas.height = height * ratio;
  const pen = panel.canvas.getContext("2d");
  pen.scale(ratio, ratio); pen.font = LABEL; pen.textBaseline = "middle";
  pen.save(); pen.beginPath(); pen.rect(LEFT, 0, right - LEFT, bottom); pen.clip();
  ({ image: drawImage, wave: drawWave, curves: drawCurves })[panel.kind](pen, panel, where);
  pen.restore();
  drawAxes(pen, panel, where);
  if (panel.kind === "image") drawScale(pen, panel, where);
  if (data.decisive_s !== null && !panel.isLag) {
    pen.strokeStyle = "#8c8c8c"; pen.setLineDash([2, 2]);
    pen.beginPath(); pen.moveTo(x(data.decisive_s), 0); pen.lineTo(x(data.decisive_s), bottom); pen.stroke(); pen.setLineDash([]);
  }
  pen.fillStyle = colour("--mark"); pen.fillRect(x(moment) - 1, 0, 2, bottom);
  panel.values.forEach((item, i) => { item.textContent = number(panel.series[i][indexAt(panel, moment)]); });
}

function drawImage(pen, panel, { right, bottom, x }) {
  const t = panel.times_s, half = t.length > 1 ? (t[1] - t[0]) / 2 : .01, from = x(t[0] - half);
  pen.imageSmoothingEnabled = false;
  pen.drawImage(pixels(panel), from, 0, x(t[t.length - 1] + half) - from, bottom);
  const n = panel.rows.length;
  if (panel.n_forward !== null && panel.n_forward < n) { pen.fillStyle = "#fff"; pen.fillRect(LEFT, bottom * panel.n_forward / n - 1, right, 2); }
  if (!panel.marked) return;
  const { row, step } = panel.marked, top = bottom * row / n, tall = Math.max(3, bottom / n);
  pen.strokeStyle = colour("--mark"); pen.lineWidth = 1.5;
  pen.strokeRect(LEFT + 1, top - 1, right - LEFT - 2, tall + 1);
  pen.lineWidth = 3;
  pen.strokeRect(x(t[step] - half), top - 2, Math.max(4, x(2 * half) - x(0)), tall + 3);
}

function drawWave(pen, panel, { x, y }) {
  const t = panel.times_s;
  pen.fillStyle = data.palette[0];
  t.forEach((time, i) => { const top = y(panel.high[i]); pen.fillRect(x(time), top, Math.max(1, x(t[1] ?? 1) - x(0)), Math.max(.8, y(panel.low[i]) - top)); });
}

function drawCurves(pen, panel, { right, x, y }) {
  const t = panel.times_s;
  pen.strokeStyle = colour("--line"); pen.beginPath(); pen.moveTo(LEFT, y(0)); pen.lineTo(right, y(0)); pen.stroke();
  panel.series.map((values, i) => [values, i]).reverse().forEach(([values, i]) => {
    const named = i < panel.n_named;
    pen.strokeStyle = panel.is_area ? data.palette[1] : named ? curveColour(i) : "#8c8c8c";
    pen.lineWidth = i < panel.n_thick ? 2.5 : named ? 1.4 : .6;
    pen.beginPath(); values.forEach((value, j) => pen[j ? "lineTo" : "moveTo"](x(t[j]), y(value))); pen.stroke();
    if (named && t.length <= MOST_MARKED) values.forEach((value, j) => { pen.fillStyle = pen.strokeStyle; pen.fillRect(x(t[j]) - 2, y(value) - 2, 4, 4); });
    if (!panel.is_area) return;
    pen.lineTo(x(t[t.length - 1]), y(0)); pen.lineTo(x(t[0]), y(0));
    pen.globalAlpha = .4; pen.fillStyle = data.palette[1]; pen.fill(); pen.globalAlpha = 1;
  });
}

// Black is the last colour of the palette, which a dark page would hide.
function curveColour(i) { return data.palette[i] === "#000000" ? colour("--ink") : data.palette[i]; }

function drawAxes(pen, panel, { right, bottom, x, y }) {
  pen.fillStyle = pen.strokeStyle = colour("--ink"); pen.lineWidth = 1;
  pen.strokeRect(LEFT - .5, .5, right - LEFT + 1, bottom);
  pen.textAlign = "right";
  if (panel.kind === "image" && !panel.name) { pen.fillText(number(panel.edges[0], 0), LEFT - 4, 7); pen.fillText(number(panel.edges[1], 0), LEFT - 4, bottom - 6); }
  if (panel.kind !== "image") {
    const [low, high] = panel.limits;
    const ticks = new Set([high > 1 && high < 1.1 ? 1 : high, 0, ...(low <= -.2 ? [low] : [])]);
    for (const tick of ticks) pen.fillText(number(tick, Number.isInteger(tick) ? 0 : 2), LEFT - 4, Math.min(bottom - 6, Math.max(7, y(tick))));
  }
  pen.save(); pen.translate(10, bottom / 2); pen.rotate(-Math.PI / 2); pen.textAlign = "center"; pen.fillStyle = colour("--soft");
  pen.fillText(panel.name ? panel.unit.split("  ").join("   ") : panel.unit, 0, 0, bottom); pen.restore();
  pen.textAlign = "center"; pen.textBaseline = "top";
  const step = [.1, .2, .5, 1, 2, 5, 10].find(each => data.end_s / each <= 8) ?? 20;
  for (let s = 0; s <= data.end_s + 1e-6; s += step) { pen.fillRect(x(s), bottom, 1, 3); pen.fillText(number(s, 1), x(s), bottom + 4); }
}

function drawScale(pen, panel, { right, bottom }) {
  const steps = data.colours[panel.colours], size = bottom / steps.length;
  steps.forEach((each, i) => { pen.fillStyle = each; pen.fillRect(right + 5, bottom - (i + 1) * size, 7, size + .6); });
  pen.fillStyle = colour("--ink"); pen.textAlign = "left"; pen.textBaseline = "middle";
  const n = Math.abs(panel.limits[1]) >= 10 || Math.abs(panel.limits[0]) >= 10 ? 0 : 1;
  pen.fillText(number(panel.limits[1], n), right + 15, 7); pen.fillText(number(panel.limits[0], n), right + 15, bottom - 6);
}

// The pixels of an image are made once, one per value, and stretched when it is drawn.
function pixels(panel) {
  if (panel.pixels) return panel.pixels;
  const height = panel.rows.length, width = panel.times_s.length, steps = data.colours[panel.colours];
  const canvas = document.createElement("canvas"); canvas.width = width; canvas.height = height;
  const context = canvas.getContext("2d"), image = context.createImageData(width, height);
  const rgb = steps.map(hex => [1, 3, 5].map(i => parseInt(hex.slice(i, i + 2), 16)));
  const [low, high] = panel.limits;
  panel.rows.forEach((row, y) => row.forEach((value, x) => {
    const fraction = Math.min(1, Math.max(0, (value - low) / (high - low)));
    image.data.set([...rgb[Math.min(steps.length - 1, Math.floor(fraction * steps.length))], 255], 4 * (y * width + x));
  }));
  context.putImageData(image, 0, 0);
  return panel.pixels = canvas;
}
