// The microphone: its level, what it heard last, and what it hears from now on.

const KEPT_S = 15;
const FLOOR_DB = -60;

const PROBLEMS = {
  NotAllowedError:
    "The microphone is not allowed. Allow it for this page, by the sign beside the address, and press the button again.",
  NotFoundError:
    "There is no microphone. Connect one and press the button again, or import recordings.",
  NotReadableError:
    "The microphone cannot be used: another program may have it. End that one and press the button again.",
};
const INSECURE =
  "Browsers give the microphone only to pages of https:// or of the machine itself. Open this page as http://localhost:" +
  `${location.port || 80} on the machine that runs the server, or put it behind a proxy with TLS (docs/SERVING.md). ` +
  "Importing recordings works here too.";

/** Level of samples, dB of full scale. */
export function levelOf(samples) {
  let sum = 0;
  for (const sample of samples) sum += sample * sample;
  return Math.max(FLOOR_DB, 10 * Math.log10(sum / samples.length + 1e-12));
}

/** 16-bit samples, as the server takes them. */
export function toPcm(samples) {
  const pcm = new Int16Array(samples.length);
  for (let i = 0; i < samples.length; i++) {
    pcm[i] = Math.max(-32768, Math.min(32767, Math.round(32768 * samples[i])));
  }
  return pcm;
}

/** 16-bit samples as a WAV. */
export function toWav(pcm, rate) {
  const head = new DataView(new ArrayBuffer(44));
  const text = (at, letters) =>
    [...letters].forEach((letter, i) => head.setUint8(at + i, letter.charCodeAt(0)));
  text(0, "RIFF");
  head.setUint32(4, 36 + pcm.byteLength, true);
  text(8, "WAVEfmt ");
  head.setUint32(16, 16, true);
  head.setUint16(20, 1, true);
  head.setUint16(22, 1, true);
  head.setUint32(24, rate, true);
  head.setUint32(28, 2 * rate, true);
  head.setUint16(32, 2, true);
  head.setUint16(34, 16, true);
  text(36, "data");
  head.setUint32(40, pcm.byteLength, true);
  return new Blob([head, pcm], { type: "audio/wav" });
}

class Microphone {
  constructor() {
    this.listeners = new Set();
    this.blocks = []; // the last seconds
    this.firstBlock = 0; // number of the first of them since it was opened
    this.context = null;
  }

  get rate() {
    return this.context.sampleRate;
  }
  /** Samples that it has heard since it was opened. */
  get now() {
    return (this.firstBlock + this.blocks.length) * this.blockLength;
  }
  get blockLength() {
    return Math.round(this.rate / 50);
  }

  /** Open it, unless it is; throws an Error with a text for people. */
  async open() {
    if (this.context) {
      await this.context.resume();
      return;
    }
    if (!navigator.mediaDevices?.getUserMedia || !window.isSecureContext) throw new Error(INSECURE);
    let stream;
    try {
      // What helps calls would change the words from what other programs hear.
      stream = await navigator.mediaDevices.getUserMedia({
        audio: {
          channelCount: 1,
          echoCancellation: false,
          noiseSuppression: false,
          autoGainControl: false,
        },
      });
    } catch (error) {
      throw new Error(
        PROBLEMS[error.name] ??
          `The microphone cannot be opened (${error.message}). Check it and try again.`,
      );
    }
    const context = new AudioContext();
    await context.audioWorklet.addModule("/page/worklet.js");
    const node = new AudioWorkletNode(context, "recorder", {
      numberOfOutputs: 0,
      channelCount: 1,
      channelCountMode: "explicit",
    });
    node.port.onmessage = ({ data }) => this.#take(data);
    context.createMediaStreamSource(stream).connect(node);
    stream.getAudioTracks()[0].onended = () => this.close();
    this.stream = stream;
    this.context = context;
    await context.resume();
  }

  /** Let it go, so that the browser shows that nobody listens. */
  async close() {
    const { context, stream } = this;
    this.context = null;
    this.blocks = [];
    this.firstBlock = 0;
    stream?.getTracks().forEach((track) => track.stop());
    for (const listener of [...this.listeners]) listener(null);
    await context?.close();
  }

  #take(block) {
    if (!this.context) return;
    this.blocks.push(block);
    if (this.blocks.length > 50 * KEPT_S) {
      this.blocks.shift();
      this.firstBlock += 1;
    }
    for (const listener of [...this.listeners]) listener(block);
  }

  /** Call a function with each block, and with null at the end; returns what ends that. */
  listen(listener) {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** The samples from one number to another, as far as they are kept. */
  between(start, end) {
    const length = this.blockLength;
    const first = Math.max(0, Math.floor(start / length) - this.firstBlock);
    const last = Math.min(this.blocks.length, Math.ceil(end / length) - this.firstBlock);
    const samples = new Float32Array(Math.max(0, last - first) * length);
    for (let i = first; i < last; i++) samples.set(this.blocks[i], (i - first) * length);
    return samples;
  }

  beep() {
    const tone = this.context.createOscillator();
    const gain = this.context.createGain();
    gain.gain.value = 0.1;
    tone.connect(gain).connect(this.context.destination);
    tone.start();
    tone.stop(this.context.currentTime + 0.05); // shorter than what counts as speech
  }
}

export const microphone = new Microphone();

const FALL_DB = 1; // a block: fast enough to follow, slow enough to see
const held = new WeakMap();

/** Show a level in an element with a bar in it, which rises at once and falls slowly. */
export function showLevel(place, now) {
  const level = Math.max(now, (held.get(place) ?? FLOOR_DB) - FALL_DB);
  held.set(place, level);
  place.firstElementChild.style.transform = `scaleX(${(level - FLOOR_DB) / -FLOOR_DB})`;
  place.classList.toggle("loud", level > -6);
  if (place.hasAttribute("aria-valuenow"))
    place.setAttribute("aria-valuenow", String(Math.round(level)));
}
