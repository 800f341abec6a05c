// A speechcls model in the browser: what is around the graphs. No part of it touches the page.

// Probabilities at the model's temperature: less confident above 1.
export function temper(probabilities, temperature) {
  const largest = Math.max(...probabilities);
  const powers = Array.from(probabilities, (p) => (p / largest) ** (1 / temperature));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((p) => p / sum);
}

// The loudest nSamples of a sound; a shorter one is filled up with zeros on both sides.
export function toWindow(samples, nSamples) {
  const window = new Float32Array(nSamples);
  if (samples.length <= nSamples) {
    window.set(samples, Math.floor((nSamples - samples.length) / 2));
    return window;
  }
  let energy = 0;
  for (let i = 0; i < nSamples; i++) energy += samples[i] ** 2;
  let best = energy;
  let start = 0;
  for (let i = nSamples; i < samples.length; i++) {
    energy += samples[i] ** 2 - samples[i - nSamples] ** 2;
    if (energy > best) {
      best = energy;
      start = i - nSamples + 1;
    }
  }
  window.set(samples.subarray(start, start + nSamples));
  return window;
}

// Words in successive probabilities: a label whose mean over some of them reaches its threshold
// for long enough is one, and no other follows it within a while.
export class Detector {
  constructor(about, everyS) {
    this.about = about;
    this.everyS = everyS;
    this.nSmoothed = Math.max(1, Math.round(about.events.smoothing_s / everyS));
    this.nLeast = Math.max(1, Math.round(about.events.min_s / everyS));
    this.recent = [];
    this.above = about.labels.map(() => 0);
    this.timeS = 0;
    this.quietUntilS = 0;
  }

  // Returns {label, probability, timeS} of a word that is detected by these probabilities, or null.
  push(probabilities) {
    this.timeS += this.everyS;
    this.recent = [...this.recent, probabilities].slice(-this.nSmoothed);
    let found = null;
    this.about.labels.forEach((label, i) => {
      const threshold = this.about.thresholds[label];
      if (threshold === undefined) return;
      const mean = this.recent.reduce((sum, row) => sum + row[i], 0) / this.recent.length;
      this.above[i] = mean >= threshold ? this.above[i] + 1 : 0;
      const isWord = this.above[i] === this.nLeast && this.timeS >= this.quietUntilS;
      if (isWord && mean > (found?.probability ?? 0)) {
        found = { label, probability: mean, timeS: this.timeS };
      }
    });
    if (found) this.quietUntilS = this.timeS + this.about.events.refractory_s;
    return found;
  }
}

export class Recogniser {
  // ort: the module onnxruntime-web; about: export.json; clips, stream: bytes of the graphs
  static async create(ort, about, clips, stream) {
    const made = new Recogniser();
    made.ort = ort;
    made.about = about;
    made.clips = await ort.InferenceSession.create(clips);
    made.streamGraph = stream;
    return made;
  }

  // Probabilities of the labels of one sound, Float32Array at about.sample_rate.
  async classify(samples) {
    const { n_samples: n, temperature } = this.about;
    const input = new this.ort.Tensor("float32", toWindow(samples, n), [1, n]);
    const { probabilities } = await this.clips.run({ samples: input });
    return temper(probabilities.data, temperature);
  }

  // A stream of its own: sound of any length in, rows of probabilities out.
  async openStream() {
    const session = await this.ort.InferenceSession.create(this.streamGraph);
    return new Stream(this.ort, this.about, session);
  }
}

class Stream {
  constructor(ort, about, session) {
    Object.assign(this, { ort, about, session, rest: new Float32Array(0) });
    this.block = about.stream.block;
    this.everyS = this.block / about.sample_rate;
    this.states = {};
    for (const [name, shape] of Object.entries(about.stream.states)) {
      const n = shape.reduce((a, b) => a * b, 1);
      this.states[name] = new ort.Tensor("float32", new Float32Array(n), shape);
    }
  }

  // Rows of probabilities of the blocks that these samples complete. Await each before the next.
  async push(samples) {
    const waiting = new Float32Array(this.rest.length + samples.length);
    waiting.set(this.rest);
    waiting.set(samples, this.rest.length);
    const rows = [];
    let at = 0;
    for (; at + this.block <= waiting.length; at += this.block) {
      const block = waiting.slice(at, at + this.block);
      const input = new this.ort.Tensor("float32", block, [1, this.block]);
      const outputs = await this.session.run({ samples: input, ...this.states });
      for (const name of Object.keys(this.states)) this.states[name] = outputs[`${name}_next`];
      rows.push(temper(outputs.probabilities.data, this.about.temperature));
    }
    this.rest = waiting.slice(at);
    return rows;
  }
}
