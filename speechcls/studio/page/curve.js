// The learning curve of a training, as it comes.

import { el, percent } from "./ui.js";

const [HEIGHT, LEFT, RIGHT, TOP, BOTTOM] = [260, 50, 125, 14, 36];
const [NARROWEST, WIDEST] = [300, 736]; // as wide as it is shown, so that its text has the size of other text

function draw(tag, attributes, text) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

/** The curve of the epochs so far, so many pixels wide: an SVG, and a table with the numbers. */
export function curve(history, epochs, pixels) {
  const WIDTH = Math.max(NARROWEST, Math.min(WIDEST, pixels));
  const x = (epoch) => LEFT + ((WIDTH - LEFT - RIGHT) * (epoch - 1)) / Math.max(1, epochs - 1);
  const y = (ratio) => TOP + (HEIGHT - TOP - BOTTOM) * (1 - ratio);
  const last = history.at(-1);
  const svg = draw("svg", {
    viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
    role: "img",
    "aria-label": `After epoch ${last.epoch} of ${epochs}: ${percent(last.validation_balanced_accuracy)} right in the mean of the labels`,
  });
  for (const ratio of [0, 0.25, 0.5, 0.75, 1]) {
    svg.append(
      draw("line", { class: "grid", x1: LEFT, x2: WIDTH - RIGHT, y1: y(ratio), y2: y(ratio) }),
    );
    svg.append(
      draw(
        "text",
        { class: "soft", x: LEFT - 6, y: y(ratio) + 4, "text-anchor": "end" },
        percent(ratio),
      ),
    );
  }
  const step = Math.ceil(epochs / (WIDTH < 500 ? 6 : 12));
  for (let epoch = 1; epoch <= epochs; epoch += step) {
    svg.append(
      draw(
        "text",
        { class: "soft", x: x(epoch), y: HEIGHT - 14, "text-anchor": "middle" },
        String(epoch),
      ),
    );
  }
  svg.append(
    draw(
      "text",
      { class: "soft", x: (LEFT + WIDTH - RIGHT) / 2, y: HEIGHT - 2, "text-anchor": "middle" },
      "epoch",
    ),
  );
  const lines = [
    ["one", "all labels", "validation_balanced_accuracy"],
    ["two", "your words", "validation_command_recall"],
  ];
  let above = null;
  for (const [style, name, field] of lines) {
    const points = history.filter((epoch) => epoch[field] !== null);
    if (!points.length) continue;
    svg.append(
      draw("polyline", {
        class: style,
        points: points.map((epoch) => `${x(epoch.epoch)},${y(epoch[field])}`).join(" "),
      }),
    );
    const end = points.at(-1);
    svg.append(
      draw("circle", { class: `${style}-text`, cx: x(end.epoch), cy: y(end[field]), r: 3.5 }),
    );
    let at = y(end[field]) + 4;
    if (above !== null && Math.abs(at - above) < 15) at = above + (at >= above ? 15 : -15);
    above = at;
    svg.append(
      draw(
        "text",
        { class: `${style}-text`, x: x(end.epoch) + 9, y: Math.min(at, HEIGHT - BOTTOM + 8) },
        `${name} ${percent(end[field])}`,
      ),
    );
  }
  const cell = (text) => el("td", { class: "number" }, text);
  const table = el(
    "details",
    {},
    el("summary", {}, "Numbers"),
    el(
      "div",
      { class: "scroll" },
      el(
        "table",
        {},
        el(
          "thead",
          {},
          el(
            "tr",
            {},
            ...["epoch", "loss", "all labels", "your words"].map((name) =>
              el("th", { scope: "col", class: "number" }, name),
            ),
          ),
        ),
        el(
          "tbody",
          {},
          ...history.map((epoch) =>
            el(
              "tr",
              {},
              cell(`${epoch.epoch}${epoch.is_best ? " best" : ""}`),
              cell(epoch.loss.toFixed(3)),
              cell(percent(epoch.validation_balanced_accuracy, 1)),
              cell(
                epoch.validation_command_recall === null
                  ? "–"
                  : percent(epoch.validation_command_recall, 1),
              ),
            ),
          ),
        ),
      ),
    ),
  );
  const caption = el(
    "figcaption",
    { class: "soft" },
    "Right answers on recordings that are not trained on, after each epoch",
  );
  return [caption, svg, table];
}
