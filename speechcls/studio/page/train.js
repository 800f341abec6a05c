// Training: begun here or by another browser, shown as it goes on.

import { get, post, postObject } from "./api.js";
import { curve } from "./curve.js";
import { clearProblem, count, el, find, percent, say, showProblem, sleep, working } from "./ui.js";
import { project, shownWord } from "./words.js";

const EVERY_S = 0.7;
const STAGES = {
  starting: "Starting…",
  reading: "Reading the recordings…",
  training: "Training…",
  saving: "Saving the model, and measuring what it does with other sounds…",
  stopping: "Stopping…",
};
let isWatching = false;
let drawn = "";

export async function openTraining() {
  for (const option of find("length").options) {
    option.text = option.text.replace(/ \(.*/, "") + ` (${project.epochs[option.value]} epochs)`;
  }
  draw(await get("/studio/training"));
  follow();
}

/** Show a training to its end, while other steps may be shown. */
function follow() {
  watch().catch((error) => showProblem(error.message));
}

async function watch() {
  if (isWatching) return;
  isWatching = true;
  try {
    for (;;) {
      const state = await get("/studio/training");
      draw(state);
      if (state.state !== "running") return;
      await sleep(EVERY_S);
    }
  } finally {
    isWatching = false;
  }
}

function announce(state) {
  const n = state.history?.length ?? 0;
  const key = `${state.state} ${state.stage} ${n}`;
  if (key === drawn) return;
  const isFirst = drawn === "";
  drawn = key;
  if (state.state === "running" && state.stage === "training" && n) {
    const last = state.history[n - 1];
    say(`Epoch ${n} of ${state.plan.epochs}: ${percent(last.validation_balanced_accuracy)} right.`);
  } else if (state.state === "running") say(STAGES[state.stage]);
  else if (!isFirst && state.state === "done") say(`Trained ${state.result.model}. Try it now.`);
  else if (!isFirst && state.state === "failed") say("The training failed.");
  else if (!isFirst && state.state === "stopped") say("The training is stopped.");
}

function draw(state) {
  const isRunning = state.state === "running";
  announce(state);
  const hadFocus = document.activeElement;
  find("train-button").hidden = isRunning;
  find("length").disabled = isRunning;
  find("stop-training").hidden = !isRunning;
  if (hadFocus === find("train-button") && isRunning) find("stop-training").focus();
  if (hadFocus === find("stop-training") && !isRunning) find("train-button").focus();
  const done = find("training-done");
  done.hidden = !isRunning;
  done.value = state.done ?? 0;
  const plan = state.plan
    ? `${state.plan.summary}; ${state.plan.network} with ${state.plan.parameters.toLocaleString()} parameters`
    : "";
  find("training-now").textContent = isRunning ? `${STAGES[state.stage]} ${plan}` : plan;
  const history = state.history ?? [];
  const figure = find("curve");
  figure.hidden = !history.length;
  if (history.length && figure.dataset.n !== `${state.model} ${history.length}`) {
    figure.dataset.n = `${state.model} ${history.length}`;
    const isOpen = figure.querySelector("details")?.open;
    figure.replaceChildren(...curve(history, state.plan.epochs, figure.clientWidth));
    figure.querySelector("details").open = Boolean(isOpen);
  }
  const notes = (state.warnings ?? []).map((text) =>
    el("p", { class: "note" }, el("span", {}, text)),
  );
  const place = find("training-result");
  const key = `${state.state} ${state.model} ${notes.length}`;
  if (place.dataset.key === key) return;
  place.dataset.key = key;
  place.replaceChildren(...outcome(state), ...notes);
}

function outcome(state) {
  if (state.state === "failed")
    return [el("p", { class: "problem" }, el("span", {}, `The training failed: ${state.error}`))];
  if (state.state === "stopped")
    return [
      el(
        "p",
        { class: "note" },
        el(
          "span",
          {},
          "The training was stopped before its first epoch ended: there is no model of it.",
        ),
      ),
    ];
  if (state.state !== "done") return [];
  const { result } = state;
  const right = Object.entries(result.recall);
  const early = result.is_interrupted ? "Stopped early; this is the best so far. " : "";
  return [
    el(
      "div",
      { class: "note good" },
      el(
        "p",
        {},
        `${early}${result.model} is trained: right in ${percent(result.balanced_accuracy, 1)} (the mean of its labels) of recordings that it was not trained on, best in epoch ${result.best_epoch} of ${result.n_epochs}.`,
      ),
      result.diverged ? el("p", { class: "bad" }, result.diverged) : null,
      result.fa_per_hour === null
        ? null
        : el(
            "p",
            {},
            `In ${Math.round(60 * result.hours)} minutes of other sounds it took ${count(result.false_alarms, "sound")} for a word: ${result.fa_per_hour.toFixed(0)} an hour; it may be up to ${result.upper_fa_per_hour.toFixed(0)}.`,
          ),
    ),
    el("p", {}, el("a", { class: "button", href: "#try" }, "Next: try it")),
    el(
      "div",
      { class: "scroll" },
      el(
        "table",
        {},
        el(
          "caption",
          { class: "soft" },
          "Right of each label, in recordings that it was not trained on",
        ),
        el(
          "tbody",
          {},
          ...right.map(([label, recall]) =>
            el(
              "tr",
              {},
              el("th", { scope: "row" }, shownWord(label)),
              el("td", { class: "number" }, percent(recall)),
            ),
          ),
        ),
      ),
    ),
    el(
      "p",
      { class: "soft" },
      "In a terminal: ",
      el("code", {}, `speechcls listen --model models/${result.model}`),
    ),
  ];
}

find("start-training").addEventListener("submit", (event) => {
  event.preventDefault();
  clearProblem();
  const n = project.words.filter(({ takes }) => takes.length).length;
  if (n < 2) {
    showProblem(
      `A recogniser needs two words or more, and there are recordings of ${n}. Record another one first.`,
    );
    return;
  }
  const empty = project.words
    .filter(({ takes }) => !takes.length)
    .map(({ word }) => shownWord(word));
  if (empty.length) {
    showProblem(`There is no recording of ${empty.join(", ")}: record some, or remove the word.`);
    return;
  }
  working(find("train-button"), async () => {
    draw(await postObject("/studio/training", { length: find("length").value }));
    follow();
  });
});
find("stop-training").addEventListener("click", ({ target }) =>
  working(target, async () => draw(await post("/studio/training/stop"))),
);
