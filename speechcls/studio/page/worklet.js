// Passes on what the microphone hears, in blocks of a fiftieth of a second.
class Recorder extends AudioWorkletProcessor {
  constructor() {
    super();
    this.block = new Float32Array(Math.round(sampleRate / 50));
    this.filled = 0;
  }

  process([[samples]]) {
    if (!samples) return true;
    for (let start = 0; start < samples.length;) {
      const n = Math.min(samples.length - start, this.block.length - this.filled);
      this.block.set(samples.subarray(start, start + n), this.filled);
      this.filled += n;
      start += n;
      if (this.filled === this.block.length) {
        this.port.postMessage(this.block, [this.block.buffer]);
        this.block = new Float32Array(Math.round(sampleRate / 50));
        this.filled = 0;
      }
    }
    return true;
  }
}

registerProcessor("recorder", Recorder);
