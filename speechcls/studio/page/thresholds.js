// A slider for the threshold of each word, with what it costs.

import { postObject } from "./api.js";
import { el, find, percent, say, working } from "./ui.js";
import { shownWord } from "./words.js";

const FEW_WORDS = 4; // each of which fits the status
let chosen = {};

/** The threshold of each word that the model may recognise. */
export const chosenThresholds = () => chosen;

const alarmsPerHour = (calibration, label, threshold) =>
  calibration.alarms[label].filter((probability) => probability >= threshold).length /
  calibration.hours;

/** What a threshold costs, as far as the model's calibration knows. */
export function cost(calibration, label, threshold) {
  if (!calibration) return "what it costs is not known: this model is not calibrated";
  const hits = calibration.hits[label];
  const parts = [];
  if (calibration.alarms[label])
    parts.push(`${alarmsPerHour(calibration, label, threshold).toFixed(0)} false alarms an hour`);
  if (hits?.length)
    parts.push(
      `finds ${hits.filter((probability) => probability >= threshold).length} of ${hits.length}`,
    );
  return parts.join("; ") || "what it costs at other values is not known: train the model again";
}

/** What thresholds cost, in a sentence: word by word where there are few, else together. */
function costs(calibration, thresholds) {
  const entries = Object.entries(thresholds);
  if (entries.length <= FEW_WORDS)
    return entries
      .map(([label, value]) => {
        const n = alarmsPerHour(calibration, label, value).toFixed(0);
        return `${shownWord(label)} from ${percent(value)}, ${n} false alarms an hour`;
      })
      .join("; ");
  const perHour = entries.reduce((sum, each) => sum + alarmsPerHour(calibration, ...each), 0);
  return `${perHour.toFixed(0)} false alarms an hour, all words together`;
}

/**
 * Draw the sliders of a model; `onChange` is called when one was moved, `onKept` with the model
 * once its thresholds are those of the sliders.
 */
export function drawThresholds(model, onChange, onKept) {
  const own = model.thresholds;
  chosen = { ...own };
  const { calibration } = model;
  const sliders = Object.keys(own).map((label, i) => {
    const text = (value) => `${percent(value)}: ${cost(calibration, label, value)}`;
    const output = el("span", { class: "soft", id: `cost-${i}` });
    const input = el("input", {
      type: "range",
      id: `threshold-${i}`,
      min: "0.1",
      max: "0.99",
      step: "0.01",
    });
    const show = (value) => {
      chosen[label] = value;
      output.textContent = text(value);
      input.setAttribute("aria-valuetext", text(value));
    };
    const set = (value) => {
      input.value = String(value);
      show(value); // not rounded to the slider's steps
    };
    input.addEventListener("input", () => show(Number(input.value)));
    input.addEventListener("change", onChange);
    set(own[label]);
    return {
      set,
      item: el(
        "div",
        {},
        el(
          "div",
          { class: "head" },
          el("label", { for: input.id, htmlFor: input.id }, shownWord(label)),
        ),
        input,
        output,
      ),
    };
  });
  find("thresholds").replaceChildren(...sliders.map(({ item }) => item));
  const hours = calibration
    ? `Counted in ${Math.round(60 * calibration.hours)} minutes of other sounds, word by word.`
    : "";
  find("thresholds-about").textContent =
    `How likely a word has to be. Higher: fewer false alarms, but more words are missed. ${hours}`;
  find("keep-thresholds").disabled = Boolean(model.not_kept);
  find("keep-about").textContent = model.not_kept
    ? `Moved thresholds hold in this page alone. They cannot be kept in ${model.name}: ${model.not_kept}.`
    : `Moved thresholds hold in this page alone, until you keep them in ${model.name}: listen, detect and all else use those.`;
  find("keep-thresholds").onclick = ({ target }) =>
    working(target, async () => {
      const kept = await postObject("/studio/thresholds", chosen, { model: model.name });
      say(`Kept in ${model.name}: ${costs(kept.calibration, kept.thresholds)}.`);
      onKept(kept);
    });
  find("reset-thresholds").onclick = () => {
    sliders.forEach(({ set }, i) => set(own[Object.keys(own)[i]]));
    onChange();
  };
}
