// The front end: from frames of features to steps of the recurrence.

function frontEnd(front, frames, isStreaming) {
  if (front.kind === "none") return frames;
  return front.kind === "block" ? blocks(front, frames, isStreaming) : convolutions(front, frames, isStreaming);
}

// One linear layer over the four frames that end with frame 4 i; frames that are not there are zeros.
function blocks({ weight, bias }, frames, isStreaming) {
  const n = isStreaming ? Math.floor(frames.length / 4) : Math.floor((frames.length + 2) / 4) + 1;
  const [size, width] = weight.shape;
  return Array.from({ length: n }, (_, i) => {
    const step = new Float64Array(size);
    for (let unit = 0; unit < size; unit++) {
      let sum = bias.values[unit];
      for (let k = 0; k < 4; k++) {
        const frame = frames[4 * i - 3 + k];
        if (frame) for (let j = 0; j < width; j++) sum += weight.values[(unit * width + j) * 4 + k] * frame[j];
      }
      step[unit] = Math.max(0, sum);
    }
    return step;
  });
}

// A stack of convolutions over time and frequency, then a linear layer.
function convolutions({ stages, project, is_causal }, frames, isStreaming) {
  const rate = stages.reduce((product, { stride }) => product * stride[0], 1);
  const n = isStreaming ? Math.floor(frames.length / rate) * rate : frames.length;
  let maps = { channels: 1, height: n, width: frames[0].length, values: concatenate(frames.slice(0, n)) };
  for (const stage of stages) maps = convolve(maps, stage, is_causal);
  const { channels, height, width, values } = maps;
  return Array.from({ length: height }, (_, t) => {
    const row = new Float64Array(channels * width);
    for (let c = 0; c < channels; c++) row.set(values.subarray((c * height + t) * width, (c * height + t + 1) * width), c * width);
    return multiply(project.weight, row, project.bias);
  });
}

// values[(channel * height + time) * width + band]; zeros around, of a causal one before the first frame alone.
function convolve(maps, { weight, bias, stride, is_residual }, isCausal) {
  const [n_outputs, n_inputs, size] = weight.shape, side = Math.floor(size / 2), before = isCausal ? size - 1 : side;
  const height = Math.floor((maps.height + before + (isCausal ? 0 : side) - size) / stride[0]) + 1;
  const width = Math.floor((maps.width + 2 * side - size) / stride[1]) + 1;
  const values = new Float64Array(n_outputs * height * width);
  for (let o = 0; o < n_outputs; o++) for (let t = 0; t < height; t++) {
    const at = (o * height + t) * width;
    values.fill(bias.values[o], at, at + width);
    for (let c = 0; c < n_inputs; c++) for (let i = 0; i < size; i++) {
      const time = t * stride[0] - before + i;
      if (time < 0 || time >= maps.height) continue;
      const row = (c * maps.height + time) * maps.width;
      for (let j = 0; j < size; j++) {
        const w = weight.values[((o * n_inputs + c) * size + i) * size + j];
        for (let b = 0, band = j - side; b < width; b++, band += stride[1]) if (band >= 0 && band < maps.width) values[at + b] += w * maps.values[row + band];
      }
    }
    for (let b = at; b < at + width; b++) values[b] = Math.max(0, values[b] + (is_residual ? maps.values[b] : 0));
  }
  return { channels: n_outputs, height, width, values };
}
