// The sound of the clips, and moments of it played one after another.
//
// A moment is { clip, step }, its row in the page { item }; row null is one that has none.

const GAP_S = .2, FADE_S = .01;
let context = null, source = null, playedNow = 0;

function expand(byte) {
  const all = ~byte & 255, size = (((all & 15) << 3) + 132 << (all >> 4 & 7)) - 132;
  return (all & 128 ? -size : size) / 32768;
}

function soundOf(clip) {
  const bytes = Uint8Array.from(atob(clip.sound), letter => letter.charCodeAt(0));
  const buffer = context.createBuffer(1, Math.max(1, bytes.length), data.rate);
  buffer.copyToChannel(Float32Array.from(bytes, expand), 0);
  return buffer;
}

// Where in the sound of a clip it begins and ends to play, seconds.
function stretch({ clip, step }, whole) {
  const { start, sound } = data.clips[clip], at_s = data.step_times_s[step] - start / data.rate, half = data.played_s / 2;
  const end_s = atob(sound).length / data.rate, how = whole ? "clip" : at("how").value;
  if (how === "clip") return [0, end_s];
  const to = Math.min(end_s, Math.max(how === "until" ? .05 : data.played_s, at_s + half));
  return how === "until" ? [0, to] : [Math.max(0, Math.min(at_s - half, to - data.played_s)), to];
}

function stopSound() {
  playedNow += 1;
  if (source) { source.onended = null; source.stop(); source = null; }
  document.querySelectorAll("li[aria-current]").forEach(item => item.removeAttribute("aria-current"));
  at("playing").textContent = "";
  at("stop").disabled = true;
}

// Plays each moment in turn; the row of the one that plays is marked.
function playRow(moments, whole = false, i = 0, turn = null) {
  if (i === 0) { stopSound(); turn = playedNow; }
  if (turn !== playedNow) return;
  if (i >= moments.length) { stopSound(); return; }
  context ??= new AudioContext();
  context.resume();
  const moment = moments[i], clip = data.clips[moment.clip], [from, to] = stretch(moment, whole), rate = +at("speed").value;
  const gain = context.createGain(), now = context.currentTime + .02, lasts = (to - from) / rate;
  source = context.createBufferSource();
  source.buffer = soundOf(clip); source.playbackRate.value = rate;
  source.connect(gain).connect(context.destination);
  gain.gain.setValueAtTime(0, now); gain.gain.linearRampToValueAtTime(1, now + FADE_S);
  gain.gain.setValueAtTime(1, Math.max(now + FADE_S, now + lasts - FADE_S)); gain.gain.linearRampToValueAtTime(0, now + lasts);
  source.onended = () => setTimeout(() => playRow(moments, whole, i + 1, turn), 1000 * GAP_S);
  document.querySelectorAll("li[aria-current]").forEach(item => item.removeAttribute("aria-current"));
  if (moment.item) moment.item.setAttribute("aria-current", "true");
  at("playing").textContent = `${moments.length > 1 ? `${i + 1} of ${moments.length}: ` : ""}${labelOf(clip)}, ${clip.name}`;
  at("stop").disabled = false;
  source.start(now, from, to - from);
}

const labelOf = clip => clip.label === null ? "your clip" : data.labels[clip.label];

at("stop").addEventListener("click", stopSound);
