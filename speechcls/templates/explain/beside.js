// Several networks on one clip, beside each other, with one cursor.

let moment = data.decisive_s ?? data.end_s / 2;

function picked() { playFrom(moment); }

function move(time_s) {
  moment = Math.min(data.end_s, Math.max(0, time_s));
  at("moment").value = moment;
  at("shown").textContent = summary();
  redraw();
}

function say() { at("said").textContent = summary(); }

// Every network's likeliest label at the moment.
function summary() {
  const best = ({ posterior }) => {
    const i = indexAt(posterior, moment), values = posterior.series.map(each => each[i]), most = Math.max(...values);
    return `${posterior.names[values.indexOf(most)]} ${number(most)}`;
  };
  return `${number(moment)} s: ` + data.models.map(model => `${model.name}: ${best(model)}`).join(", ");
}

function showColumn(model, column) {
  element("h3", column, `${model.name} (${model.arch})`);
  element("p", column, `Answer: ${model.answer} (${number(model.probability, 4)}).`);
  add(model.posterior, column);
}

function showInside(model, column, index) {
  element("h3", column, `${model.name} (${model.arch})`);
  if (!model.layers.length) { element("p", column, "No recurrent layers."); return; }
  const choice = element("label", element("p", column, "", "choice"), "layer "), select = element("select", choice);
  model.layers.forEach((_, i) => { element("option", select, `${i + 1} of ${model.layers.length}`).value = i; });
  select.value = model.layers.length - 1;
  const title = element("p", column, "", "soft layer-title"), gates = element("div", column);
  const show = () => {
    const { title: text, panels: rows } = model.layers[select.value];
    panels = panels.filter(panel => panel.model !== index);
    title.textContent = text;
    gates.replaceChildren();
    for (const panel of rows) { panel.model = index; add(panel, gates); }
    redraw();
  };
  select.addEventListener("change", show);
  show();
}

at("parting").textContent = data.parting;
add(data.wave, at("wave"));
data.memory.isLag = true;
add(data.memory, at("memory"));
data.models.forEach((model, i) => {
  showColumn(model, element("div", at("answers")));
  showInside(model, element("div", at("inside")), i);
});
followSound();
move(moment); say();
