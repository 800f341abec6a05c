// A slider for the threshold of each word, with what it costs.

import { el, find, percent } from "./ui.js";
import { shownWord } from "./words.js";

let chosen = {};

/** The threshold of each word that the model may recognise. */
export const chosenThresholds = () => chosen;

/** What a threshold costs, as far as the model's calibration knows. */
export function cost(calibration, label, threshold) {
  if (!calibration) return "what it costs is not known: this model is not calibrated";
  const alarms = calibration.alarms[label];
  const hits = calibration.hits[label];
  const parts = [];
  if (alarms) {
    const n = alarms.filter((probability) => probability >= threshold).length;
    parts.push(`${(n / calibration.hours).toFixed(0)} false alarms an hour`);
  }
  if (hits?.length)
    parts.push(
      `finds ${hits.filter((probability) => probability >= threshold).length} of ${hits.length}`,
    );
  return parts.join("; ") || "what it costs at other values is not known: train the model again";
}

/** Draw the sliders of a model; `onChange` is called when one was moved. */
export function drawThresholds(model, onChange) {
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
    const show = () => {
      chosen[label] = Number(input.value);
      output.textContent = text(chosen[label]);
      input.setAttribute("aria-valuetext", text(chosen[label]));
    };
    const set = (value) => {
      input.value = String(value);
      show();
    };
    input.addEventListener("input", show);
    input.addEventListener("change", onChange);
    set(own[label]);
    chosen[label] = own[label]; // not rounded to the slider's steps
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
  find("reset-thresholds").onclick = () => {
    sliders.forEach(({ set }, i) => set(own[Object.keys(own)[i]]));
    chosen = { ...own };
    onChange();
  };
}
