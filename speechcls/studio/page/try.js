// Talk to a model: live probabilities, what it recognised, and its thresholds.

import { get, openPage, openStream, play, post } from "./api.js";
import { levelOf, microphone, showLevel, toPcm, toWav } from "./microphone.js";
import { drawThresholds, chosenThresholds } from "./thresholds.js";
import { clearProblem, el, find, percent, say, showProblem, working } from "./ui.js";
import { shownWord } from "./words.js";

const AROUND_S = 0.3; // kept around a word
const LOG_MOST = 50;
let models = [];
let stream = null;

const chosen = () => models.find(({ name }) => name === find("model").value);

export async function openTrying() {
  const known = await get("/studio/models");
  const before = chosen()?.name;
  models = known.models;
  const newest = known.trained.at(-1);
  const fresh = newest && !find("model").querySelector(`option[value="${CSS.escape(newest)}"]`);
  find("model").replaceChildren(
    ...[...models]
      .reverse()
      .map(({ name, source }) => el("option", { value: name }, `${name} (${source})`)),
  );
  find("model").value = fresh || !before ? (newest ?? known.default_live) : before;
  drawModel();
}

export function leaveTrying() {
  stop();
}

function drawModel() {
  const model = chosen();
  find("model-about").textContent =
    `It knows ${model.labels.map(shownWord).join(", ")}. ` +
    (model.is_causal
      ? "It follows running sound."
      : `It listens to windows of ${model.window_s} s.`);
  find("bars").replaceChildren(
    ...model.labels.map((label) =>
      el(
        "li",
        {},
        el("span", { class: "name" }, shownWord(label)),
        el("div", { class: "bar" }, el("div"), el("i")),
        el("span", { class: "value" }, "–"),
      ),
    ),
  );
  drawSliders(model);
}

function drawSliders(model) {
  drawThresholds(
    model,
    () => {
      markThresholds();
      if (stream) restart();
    },
    (kept) => {
      models = models.map((each) => (each.name === kept.name ? kept : each));
      if (chosen().name === kept.name) drawSliders(kept);
    },
  );
  markThresholds();
}

function markThresholds() {
  const thresholds = chosenThresholds();
  chosen().labels.forEach((label, i) => {
    const mark = find("bars").children[i].querySelector("i");
    mark.hidden = !(label in thresholds);
    mark.style.left = `calc(${100 * (thresholds[label] ?? 0)}% - 1px)`;
  });
}

function drawProbabilities(probabilities) {
  const thresholds = chosenThresholds();
  chosen().labels.forEach((label, i) => {
    const item = find("bars").children[i];
    const value = probabilities[label] ?? 0;
    item.querySelector(".bar div").style.transform = `scaleX(${value})`;
    item.querySelector(".value").textContent = percent(value);
    item.classList.toggle("over", value >= (thresholds[label] ?? 2));
  });
}

function logWord(event, model, start) {
  const { rate } = microphone;
  const from = start + (event.start_s - AROUND_S) * rate;
  const to = start + Math.max(event.end_s + AROUND_S, event.start_s + 1) * rate;
  const pcm = toPcm(microphone.between(Math.max(start, from), to));
  const name = shownWord(event.label);
  find("log-empty").hidden = true;
  find("log").prepend(
    el(
      "li",
      {},
      el("b", {}, name),
      el("span", { class: "soft" }, `${percent(event.probability)}, ${event.start_s.toFixed(1)} s`),
      el(
        "button",
        {
          type: "button",
          class: "small",
          "aria-label": `Play ${name} at ${event.start_s.toFixed(1)} s`,
          onclick: ({ target }) => working(target, () => play(toWav(pcm, rate))),
        },
        "Play",
      ),
      el(
        "button",
        {
          type: "button",
          class: "small",
          "aria-label": `Explain ${name} at ${event.start_s.toFixed(1)} s`,
          onclick: ({ target }) =>
            working(target, () =>
              openPage(() =>
                post("/studio/explain", { model }, pcm, `audio/pcm;rate=${rate};encoding=s16le`),
              ),
            ),
        },
        "Explain",
      ),
    ),
  );
  while (find("log").children.length > LOG_MOST) find("log").lastElementChild.remove();
  say(`${name}, ${percent(event.probability)}`);
}

async function start() {
  clearProblem();
  await microphone.open();
  const model = chosen();
  const thresholds = chosenThresholds();
  const { rate } = microphone;
  const socket = openStream({
    model: model.name,
    rate,
    encoding: "s16le",
    posteriors: 1,
    thresholds: JSON.stringify(thresholds),
  });
  const own = { socket, end: () => {} };
  stream = own;
  let first = null;
  socket.onopen = () => {
    first = microphone.now;
    own.end = microphone.listen((block) => {
      if (!block) return stop();
      showLevel(find("try-level"), levelOf(block));
      if (socket.readyState === WebSocket.OPEN) socket.send(toPcm(block));
      return undefined;
    });
    say(`Listening with ${model.name}. Say a word.`);
  };
  socket.onmessage = ({ data }) => {
    const message = JSON.parse(data);
    if (message.probabilities) drawProbabilities(message.probabilities);
    else if (message.label)
      setTimeout(() => stream === own && logWord(message, model.name, first), 1000 * AROUND_S);
    else showProblem(message.error ?? message.warning);
  };
  socket.onclose = ({ code }) => {
    own.end();
    if (stream !== own) return;
    stream = null;
    drawButton();
    if (code !== 1000)
      showProblem(
        "The server ended the stream. If it was stopped, start it again; then press Listen.",
      );
  };
  drawButton();
}

function stop() {
  const own = stream;
  stream = null;
  own?.end();
  own?.socket.close();
  microphone.close();
  drawButton();
}

async function restart() {
  const own = stream;
  stream = null;
  own.end();
  own.socket.close();
  await start();
}

function drawButton() {
  find("listen").setAttribute("aria-pressed", String(stream !== null));
  find("listen").textContent = stream ? "Stop listening" : "Listen";
}

find("listen").addEventListener("click", ({ target }) => {
  if (stream) {
    stop();
    say("Stopped.");
  } else working(target, start).then(() => target.focus());
});
find("model").addEventListener("change", () => {
  drawModel();
  if (stream) restart().catch((error) => showProblem(error.message));
});
find("report").addEventListener("click", ({ target }) =>
  working(target, () => openPage(() => post("/studio/report", { model: chosen().name }))),
);
