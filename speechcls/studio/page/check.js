// What `check` says of the recordings.

import { post } from "./api.js";
import { count, el, find, redraw, say, working } from "./ui.js";
import { deleteTake, playTake, project, shownWord, version } from "./words.js";

const EFFECTS = { blocks: "must be mended", bad: "is no good", warning: "look at it" };
let checked = null; // version of the recordings that were checked

export async function openCheck() {
  if (checked !== version && project.words.some(({ takes }) => takes.length)) await check();
}

async function check() {
  find("checked").replaceChildren(el("p", { class: "soft" }, "Reading all recordings…"));
  const now = version;
  await working(find("run-check"), async () => {
    const result = await post("/studio/check");
    draw(result);
    checked = now;
    say(summary(result));
  });
  if (checked !== now) find("checked").replaceChildren();
}

function summary({ n_clips, findings, spoiled_by }) {
  const verdict = spoiled_by.length
    ? "Something has to be mended before training."
    : "They can be trained on.";
  return `Checked ${count(n_clips, "recording")}, ${count(findings.length, "finding")}. ${verdict}`;
}

function row(finding, kinds) {
  const [word, take] = [finding.path.split("/")[0], finding.path.split("/").slice(1).join("/")];
  const isTake = project.words.some(
    (each) => each.word === word && each.takes.some(({ name }) => name === take),
  );
  const name = `${shownWord(word)}, ${take}`;
  const id = `${encodeURIComponent(finding.kind)}:${encodeURIComponent(finding.path)}`;
  const { text, effect } = kinds[finding.kind];
  return el(
    "tr",
    {},
    el("td", {}, el("b", {}, shownWord(word)), el("br"), el("span", { class: "soft" }, take)),
    el(
      "td",
      {},
      el("span", { class: effect === "warning" ? "" : "bad" }, text),
      el("br"),
      el("span", { class: "soft" }, `${finding.detail} (${EFFECTS[effect]})`),
    ),
    el(
      "td",
      {},
      ...(isTake
        ? [
            el(
              "button",
              {
                type: "button",
                class: "small",
                id: `check-play:${id}`,
                "aria-label": `Play ${name}`,
                onclick: ({ target }) => working(target, () => playTake(word, take)),
              },
              "Play",
            ),
            " ",
            el(
              "button",
              {
                type: "button",
                class: "small",
                id: `check-delete:${id}`,
                "aria-label": `Delete ${name}`,
                onclick: ({ target }) =>
                  working(target, async () => {
                    await deleteTake(word, take);
                    await check();
                    find("run-check").focus();
                  }),
              },
              "Delete",
            ),
          ]
        : []),
    ),
  );
}

function draw(result) {
  const list = (texts, kind) => texts.map((text) => el("p", { class: kind }, el("span", {}, text)));
  const words = Object.entries(result.labels);
  redraw(
    find("checked"),
    [
      el(
        "p",
        { class: result.spoiled_by.length ? "problem" : "note good" },
        el("span", {}, summary(result)),
      ),
      ...list(result.spoiled_by, "problem"),
      ...list(result.problems, "problem"),
      ...list(result.notes, "note"),
      words.length
        ? el(
            "div",
            { class: "scroll" },
            el(
              "table",
              {},
              el("caption", { class: "soft" }, "Recordings of each word"),
              el(
                "thead",
                {},
                el(
                  "tr",
                  {},
                  ...["word", "recordings", "speakers", "left out"].map((name, i) =>
                    el("th", { scope: "col", class: i ? "number" : "" }, name),
                  ),
                ),
              ),
              el(
                "tbody",
                {},
                ...words.map(([word, { n_clips, n_others, n_left_out }]) =>
                  el(
                    "tr",
                    {},
                    el("th", { scope: "row" }, shownWord(word)),
                    ...[n_clips, n_others, n_left_out].map((n) =>
                      el("td", { class: "number" }, String(n)),
                    ),
                  ),
                ),
              ),
            ),
          )
        : null,
      result.findings.length ? el("h3", {}, "Findings") : null,
      result.findings.length
        ? el(
            "div",
            { class: "scroll" },
            el(
              "table",
              { "aria-label": "Findings" },
              el(
                "thead",
                {},
                el(
                  "tr",
                  {},
                  ...["recording", "what is wrong", "do"].map((name) =>
                    el("th", { scope: "col" }, name),
                  ),
                ),
              ),
              el("tbody", {}, ...result.findings.map((finding) => row(finding, result.kinds))),
            ),
          )
        : null,
    ].filter(Boolean),
    find("run-check"),
  );
}

find("run-check").addEventListener("click", check);
