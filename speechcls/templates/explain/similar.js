// Moments of other clips, and clips, whose states are like those of a chosen clip at a moment.

for (const each of Object.values(data.similar)) for (const name of ["clips", "steps", "cosines", "whole", "wholeCosines"]) each[name] = unpack(each[name]);

const similar = () => data.similar[at("similar-layer").value];

function showSimilar(clip, step) {
  const { at: steps } = similar();
  at("clip").value = clip;
  at("moment").max = steps.length - 1;
  at("moment").value = steps.reduce((best, each, i) => Math.abs(each - step) < Math.abs(steps[best] - step) ? i : best, 0);
  showNear();
}

function showNear() {
  const clip = +at("clip").value, i = +at("moment").value, { at: steps, clips, steps: found, cosines, whole, wholeCosines } = similar();
  const own = data.clips[clip], time_s = number(own.begin_s + data.step_times_s[steps[i]]);
  const near = rowOf(found, clip, i), like = rowOf(cosines, clip, i), alike = rowOf(wholeCosines, clip);
  const silent = like.every(each => each === 0);
  at("moment-said").textContent = `${time_s} s`;
  at("moment").setAttribute("aria-valuetext", `${time_s} s`);
  const moments = rowOf(clips, clip, i).map((each, j) => ({ clip: each, step: near[j], value: like[j] }));
  listMoments("near", silent ? [] : moments, 4);
  at("near-play").disabled = silent;
  at("near-said").textContent = silent ? "The clip is silent here: its window is longer." : agreement(moments, own);
  const clipsLike = rowOf(whole, clip).map((each, j) => ({ clip: each, step: 0, value: alike[j] }));
  listMoments("whole", clipsLike, 4, true);
  at("whole-said").textContent = agreement(clipsLike, own);
  at("clip-play").onclick = () => playRow([{ clip, step: steps[i] }]);
}

// How many of what is found have the label of the clip.
function agreement(moments, own) {
  if (own.label === null) {
    const counts = new Map();
    for (const { clip } of moments) counts.set(data.clips[clip].label, (counts.get(data.clips[clip].label) ?? 0) + 1);
    const [label, n] = [...counts].sort((a, b) => b[1] - a[1])[0];
    return `${n} of ${moments.length} are ${data.labels[label]}; the model says ${own.predicted} (${number(own.probability)}).`;
  }
  return `${moments.filter(({ clip }) => data.clips[clip].label === own.label).length} of ${moments.length} are ${labelOf(own)}, too.`;
}

const sorted = data.clips.map((clip, i) => i).sort((a, b) => (data.clips[a].label ?? -1) - (data.clips[b].label ?? -1) || a - b);
for (const i of sorted) element("option", at("clip"), `${labelOf(data.clips[i])}: ${data.clips[i].name}`).value = i;
Object.keys(data.similar).forEach((layer, _, all) => { element("option", at("similar-layer"), `${layer} of ${all.length}`).value = layer; });
at("similar-layer").value = Object.keys(data.similar).pop();
for (const id of ["clip", "similar-layer", "moment"]) at(id).addEventListener("input", showNear);
showUnits();
const first = momentsOf(chosenLayer().highest, unit)[0];
showSimilar(data.query ?? first.clip, data.query === null ? first.step : Math.floor(data.step_times_s.length / 2));
if (data.query !== null) document.querySelector("main").prepend(at("similar-title").parentElement);
