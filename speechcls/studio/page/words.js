// The words of the project and their takes.

import { address, get, play, post } from "./api.js";
import { record } from "./record.js";
import { clearProblem, count, el, find, redraw, say, showProblem, working } from "./ui.js";

export const UNKNOWN = "_unknown_";
const SHOWN = { [UNKNOWN]: "other words", _silence_: "silence" };

/** What the server last said of the project. */
export let project = { words: [], undo: null, few: 10, title: "", folder: "", epochs: {} };
/** Grows with every change of the recordings. */
export let version = 0;

export const shownWord = (word) => (Object.hasOwn(SHOWN, word) ? SHOWN[word] : word);

export function setProject(now) {
  if (JSON.stringify(now.words) !== JSON.stringify(project.words)) version += 1;
  project = now;
  draw();
}

export async function refresh() {
  setProject(await get("/studio/project"));
}

let last = ""; // id of the take that was recorded last, which can be made again

export function setLast(word, take) {
  last = idOf(word, take);
}

/** Record a take again; the old one is deleted once there is a new one. */
async function retake(word, take) {
  if (!(await record(word, 1))) return;
  await change(
    "/studio/takes/delete",
    { word, take },
    () => `The new take of ${shownWord(word)} replaces the old one. Undo brings it back.`,
  );
  document.getElementById(`retake:${last}`)?.focus();
}

const idOf = (...parts) => parts.map(encodeURIComponent).join(":");

async function change(route, parameters, said) {
  clearProblem();
  const now = await post(route, parameters);
  setProject(now);
  say(said(now));
}

export const deleteTake = (word, take) =>
  change(
    "/studio/takes/delete",
    { word, take },
    () => `Deleted a take of ${shownWord(word)}. Undo brings it back.`,
  );

export const playTake = (word, take) => play(address("/studio/take", { word, take }));

function takeItem(word, take) {
  const name = `${shownWord(word)}, ${take.name}`;
  return el(
    "li",
    {},
    el(
      "span",
      {},
      take.speaker ?? take.name,
      " ",
      el(
        "span",
        { class: "soft" },
        take.speaker ? take.name.replace(/^.*_nohash_/, "").replace(/\.[^.]*$/, "") : "",
      ),
    ),
    el(
      "button",
      {
        type: "button",
        class: "small",
        id: idOf("play", word, take.name),
        "aria-label": `Play ${name}`,
        onclick: ({ target }) => working(target, () => playTake(word, take.name)),
      },
      "Play",
    ),
    last === idOf(word, take.name)
      ? el(
          "button",
          {
            type: "button",
            class: "small",
            id: idOf("retake", word, take.name),
            "aria-label": `Retake ${name}`,
            onclick: ({ target }) => working(target, () => retake(word, take.name)),
          },
          "Retake",
        )
      : null,
    el(
      "button",
      {
        type: "button",
        class: "small",
        id: idOf("delete", word, take.name),
        "aria-label": `Delete ${name}`,
        onclick: ({ target }) => working(target, () => deleteTake(word, take.name)),
      },
      "Delete",
    ),
  );
}

async function importFiles(word, files) {
  clearProblem();
  const faults = [];
  let written = 0;
  for (const [i, file] of [...files].entries()) {
    say(`Importing ${i + 1} of ${files.length}: ${file.name}`);
    try {
      const parameters = { word, speaker: find("speaker").value.trim(), name: file.name };
      const said = await post("/studio/import", parameters, file, "application/octet-stream");
      written += said.written.length;
      faults.push(
        ...said.rejected.map((fault) =>
          fault.startsWith(file.name) ? fault : `${file.name}: ${fault}`,
        ),
      );
      faults.push(
        ...said.warnings.map((warning) =>
          warning.startsWith(file.name) ? warning : `${file.name}: ${warning}`,
        ),
      );
    } catch (error) {
      faults.push(`${file.name}: ${error.message}`);
    }
  }
  await refresh();
  say(`Imported ${count(written, "take")} of ${shownWord(word)}.`);
  if (faults.length) showProblem(faults.join(" · "));
}

function wordItem({ word, takes }) {
  const shown = shownWord(word);
  const enough = takes.length >= project.few;
  const missing = project.few - takes.length;
  return el(
    "li",
    {},
    el(
      "div",
      { class: "head" },
      el("h3", {}, shown),
      el(
        "span",
        { class: enough ? "good" : "soft" },
        count(takes.length, "take"),
        enough ? " ✓" : `, ${missing} more`,
      ),
    ),
    el(
      "div",
      { class: "row" },
      el(
        "button",
        {
          type: "button",
          class: "main",
          id: idOf("record", word),
          "aria-label": `Record ${shown}`,
          onclick: () => record(word),
        },
        "Record",
      ),
      el(
        "label",
        { class: "button file" },
        "Import",
        el("input", {
          type: "file",
          multiple: true,
          accept: "audio/*,video/*",
          id: idOf("import", word),
          "aria-label": `Import recordings of ${shown}`,
          onchange: ({ target }) =>
            importFiles(word, target.files).finally(() => {
              target.value = "";
            }),
        }),
      ),
      el(
        "button",
        {
          type: "button",
          id: idOf("remove", word),
          "aria-label": `Remove the word ${shown}`,
          onclick: ({ target }) =>
            working(target, () =>
              change(
                "/studio/words/remove",
                { word },
                () => `Removed ${shown} and ${count(takes.length, "take")}. Undo brings them back.`,
              ),
            ),
        },
        "Remove",
      ),
    ),
    takes.length
      ? el(
          "ul",
          { class: "takes", "aria-label": `Takes of ${shown}` },
          ...[...takes].reverse().map((take) => takeItem(word, take)),
        )
      : null,
  );
}

function draw() {
  redraw(find("words"), project.words.map(wordItem), find("word"));
  find("add-unknown").hidden = project.words.some(({ word }) => word === UNKNOWN);
  const { undo } = project;
  find("undo").hidden = !undo;
  find("undo-text").textContent = undo
    ? `Deleted last: ${count(undo.takes, "take")} of ${shownWord(undo.word)}.`
    : "";
}

const addWord = (word) =>
  change("/studio/words", { word }, ({ said }) => `Added ${shownWord(said)}. Record it.`);

find("add-word").addEventListener("submit", (event) => {
  event.preventDefault();
  working(event.submitter ?? find("word"), async () => {
    await addWord(find("word").value);
    find("word").value = "";
  }).then(() => find("word").focus());
});
find("add-unknown").addEventListener("click", ({ target }) =>
  working(target, () => addWord(UNKNOWN)),
);
find("undo").addEventListener("click", ({ target }) =>
  working(target, () =>
    change("/studio/undo", {}, ({ said }) => `Brought back ${shownWord(said)}.`),
  ),
);

const speaker = find("speaker");
speaker.value = localStorage.getItem("speechcls-speaker") ?? "me";
speaker.addEventListener("change", () =>
  localStorage.setItem("speechcls-speaker", speaker.value.trim()),
);

export async function openWords() {
  await refresh();
}
