// How it learnt: the network at the end of some epochs, the model last, and a slider through them.

const stages = data.learnt?.stages ?? [];
// Those on the slider: of the model the page has what it opened with.
const carried = network ? stages.filter(each => each.network || each.is_model) : [];
// The panels that differ: probabilities over time, attention, occlusion.
const answerPanels = carried.length ? data.inputs.slice(-carried[0].panels.length) : [];
let stage = stages.at(-1);

// More of them than fit under the slider are not named there, but the one that is shown.
const MOST_TICKS = 6;

const nameOfStage = ({ epoch, is_model }) => is_model ? "the model" : `epoch ${epoch}`;

// A network is read when it is shown for the first time.
function readStage(each) {
  const read = readNetwork(each.network);
  return { network: read, original: runNetwork(read), lookback: decode(each.lookback) };
}

// The whole page as it is for the network at that place of the slider.
function showStage(place) {
  stage = carried[place];
  ({ network, original, lookback } = stage.read ??= readStage(stage));
  Object.assign(data, { answer: stage.answer, probability: stage.probability, decisive_s: stage.decisive_s });
  answerPanels.forEach((panel, i) => setContent(panel, stage.panels[i]));
  setContent(besideGradient, stage.panels.at(-1));
  setContent(gradient, stage.gradient);
  at("epoch").value = place;
  at("epoch").setAttribute("aria-valuetext", nameOfStage(stage));
  Array.from(at("ticks").children, (tick, i) => tick.classList.toggle("chosen", i === place));
  Array.from(at("stages").children, (row, i) => row.setAttribute("aria-current", stages[i] === stage));
  showVerdict();
  apply();
  move(moment);
}

function startLearnt() {
  if (!stages.length) return;
  at("of-model").textContent = `probability of ${stage.answer}`;
  for (const each of stages) {
    const row = tableRow(at("stages"), "", [each.answer, each.probability, each.of_model]), place = carried.indexOf(each);
    element("i", element("td", row, "", "bar"), "", "new").style.width = `${100 * each.of_model}%`;
    const name = element(place < 0 ? "span" : "button", row.firstChild, nameOfStage(each));
    if (place >= 0) name.addEventListener("click", () => { showStage(place); say(); });
  }
  if (stage.epoch !== null) at("which").textContent = `The model is the network at the end of epoch ${stage.epoch}, which was the best on the validation clips.`;
  const left = stages.filter(each => !each.is_model && !carried.includes(each)).map(nameOfStage);
  if (left.length) at("left-out").textContent = `Only in this table: ${left.join(", ")}; ${data.learnt.reason}.`;
  if (!carried.length) return;
  const copy = ({ title, series, limits }) => ({ title, series, limits });
  Object.assign(stage, { panels: answerPanels.map(copy), gradient: copy(gradient), read: { network, original, lookback } });
  for (const { epoch, is_model } of carried) element("span", at("ticks"), is_model ? "model" : `${epoch}`);
  at("ticks").classList.toggle("many", carried.length > MOST_TICKS);
  at("epoch").max = carried.length - 1;
  at("epoch").addEventListener("input", event => { showStage(+event.target.value); say(); });
  at("epoch-choice").hidden = false;
  showStage(carried.length - 1);
}
