// The page: which step is shown, and what all steps share of the project.

import { get } from "./api.js";
import { openCheck } from "./check.js";
import { leaveRecorder } from "./record.js";
import { find, showProblem } from "./ui.js";
import { openTrying, leaveTrying } from "./try.js";
import { openTraining } from "./train.js";
import { openWords, project, setProject } from "./words.js";

const STEPS = ["record", "check", "train", "try"];
const OPENED = { record: openWords, check: openCheck, train: openTraining, try: openTrying };
const LEFT = { record: leaveRecorder, try: leaveTrying };
let shown = null;

async function show(step, isFirst = false) {
  if (shown === step) return;
  LEFT[shown]?.();
  shown = step;
  for (const name of STEPS) find(name).hidden = name !== step;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.hash === `#${step}`) link.setAttribute("aria-current", "step");
    else link.removeAttribute("aria-current");
  }
  if (!isFirst) {
    window.scrollTo(0, 0);
    find(`${step}-title`).focus();
  }
  try {
    await OPENED[step]?.();
  } catch (error) {
    showProblem(error.message);
  }
}

const stepOfAddress = () =>
  STEPS.includes(location.hash.slice(1)) ? location.hash.slice(1) : "record";

window.addEventListener("hashchange", () => {
  if (STEPS.includes(location.hash.slice(1))) show(stepOfAddress());
});

try {
  setProject(await get("/studio/project"));
  find("title").textContent = project.title;
  find("folder").textContent = project.folder;
  find("few").textContent = project.few;
  await show(stepOfAddress(), true);
  document.documentElement.dataset.ready = "yes";
} catch (error) {
  showProblem(error.message);
}
