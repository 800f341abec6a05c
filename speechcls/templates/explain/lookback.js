// How far it looks back: what is left, at the chosen step, of small changes of the memory before it.

let lookback = decode(data.lookback);
const { gradient } = data.lookback, besideGradient = { ...data.inputs.at(-1) };

function startLookback() {
  add(gradient, at("by-frame"));
  add(besideGradient, at("by-frame"));
  if (!data.layers.length) at("memory").remove();
}

// The curve of the chosen step: for each earlier one the gain from there to here.
function showMemory() {
  const { way } = chosenUnit(), { gains, by_lag } = lookback.memory[chosen.layer][way], times = gatePanels()[0].times_s, n = times.length;
  const series = Array.from({ length: n }, (_, s) => gains.values[chosen.step * n + s]);
  panels = panels.filter(panel => !panel.isMemory);
  at("memory-panel").replaceChildren();
  add({
    isMemory: true, kind: "curves", title: `layer ${chosen.layer + 1}, ${way}: what is left at ${number(times[chosen.step])} s of a small change of the memory at each other moment`,
    unit: "left", height: 1.6, times_s: times, series: [series], names: ["left"], n_named: 1, n_thick: 0, is_area: true, limits: [0, 1.05 * Math.max(1, ...series)],
  }, at("memory-panel"));
  const half = by_lag.findIndex(gain => gain < .5);
  const when = half < 0 ? "More than half of a small change is left after the whole clip" : `Half of a small change is gone after ${half} step${half === 1 ? "" : "s"}, ${number(half * lookback.step_s)} s`;
  at("memory-text").textContent = `${when}, on average over the clip; ${number(by_lag[Math.min(n - 1, 10)], 4)} is left after ${Math.min(n - 1, 10)} steps.`;
}
