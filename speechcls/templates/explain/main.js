// The page as it opens.

function showVerdict() {
  const when = stage && !stage.is_model ? `At the end of epoch ${stage.epoch}. ` : "";
  at("verdict").textContent = `${when}Prediction: ${data.answer} (${number(data.probability, 4)}). ` + (data.decisive_s === null
    ? "No single 0.1 s is decisive." : `The most decisive moment is ${number(data.decisive_s)} s (dotted).`);
}

data.inputs.forEach(panel => add(panel, at("inputs")));
data.layers.forEach((_, i) => { element("option", at("layer"), `${i + 1} of ${data.layers.length}`).value = i + 1; });
at("layer").value = data.layer;
showVerdict();
at("layer").addEventListener("change", event => showLayer(+event.target.value));
at("unit").addEventListener("input", event => { if (event.target.value) choose(event.target.value - 1, chosen.step, chosen.isProjected); });
at("step").addEventListener("input", event => { if (event.target.value) choose(chosen.row, event.target.value - 1, chosen.isProjected); });
followSound();
startArithmetic();
startWhatIf();
startLookback();
if (data.layer) showLayer(data.layer); else for (const id of ["layers", "arithmetic"]) at(id).remove();
startLearnt();
move(moment); say();
