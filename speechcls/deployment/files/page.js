// The page: microphone and files in, probabilities and words out.
import { Detector, Recogniser } from "./speechcls.js";

const byId = (id) => document.getElementById(id);
const say = (text) => (byId("status").textContent = text);
const read = async (name, kind) => {
  const answer = await fetch(name);
  if (!answer.ok) throw new Error(`${name}: ${answer.status} ${answer.statusText}`);
  return answer[kind]();
};

const MOST_WORDS = 200; // lines of the log, of which the oldest go

let recogniser = null;
let stop = null; // ends the listening, if there is any
let isBusy = false; // beginning or ending it

function show(probabilities) {
  recogniser.about.labels.forEach((label, i) => {
    const bar = byId("bars").children[i];
    bar.querySelector("meter").value = probabilities[i];
    bar.querySelector("output").textContent = probabilities[i].toFixed(2);
  });
}

function log(text) {
  const line = document.createElement("li");
  line.textContent = text;
  const words = byId("words");
  words.prepend(line);
  if (words.children.length > MOST_WORDS) words.lastChild.remove();
}

function drawBars(labels) {
  for (const label of labels) {
    const row = document.createElement("div");
    const name = document.createElement("span");
    const meter = document.createElement("meter");
    name.textContent = label;
    meter.setAttribute("aria-label", label);
    row.append(name, meter, document.createElement("output"));
    byId("bars").append(row);
  }
}

// Listens; returns what ends it. whenLost is called with an error if it ends by itself.
async function start(whenLost) {
  if (!navigator.mediaDevices) throw new Error("a page gets none over a connection that is not encrypted");
  const { sample_rate: sampleRate } = recogniser.about;
  const media = await navigator.mediaDevices.getUserMedia({
    audio: { channelCount: 1, echoCancellation: false, noiseSuppression: false },
  });
  const end = () => media.getTracks().forEach((track) => track.stop());
  try {
    const context = new AudioContext({ sampleRate });
    await context.audioWorklet.addModule("worklet.js");
    const recorder = new AudioWorkletNode(context, "recorder");
    const stream = await recogniser.openStream();
    const detector = new Detector(recogniser.about, stream.everyS);
    let work = Promise.resolve();
    recorder.port.onmessage = ({ data }) => {
      work = work.then(async () => {
        for (const row of await stream.push(data)) {
          show(row);
          const word = detector.push(row);
          if (word) log(`${word.timeS.toFixed(1)} s  ${word.label}  ${word.probability.toFixed(2)}`);
        }
      });
      work.catch(whenLost);
    };
    media.getTracks()[0].onended = () => whenLost(new Error("it was taken away"));
    context.createMediaStreamSource(media).connect(recorder);
    return () => (end(), context.close());
  } catch (error) {
    end();
    throw error;
  }
}

async function toggle() {
  if (isBusy) return; // a second click would begin twice
  isBusy = true;
  const lose = async (error) => {
    if (stop) await toggle();
    say(`No microphone: ${error.message}`);
  };
  try {
    if (stop) {
      const end = stop;
      stop = null;
      await end();
      say("Ready.");
    } else {
      stop = await start(lose);
      say("Listening. The sound stays on this computer.");
    }
  } catch (error) {
    say(`No microphone: ${error.message}`);
  }
  byId("listen").textContent = stop ? "Stop" : "Listen";
  isBusy = false;
}

async function open(files) {
  const { sample_rate: sampleRate, labels } = recogniser.about;
  for (const file of files) {
    try {
      const context = new OfflineAudioContext(1, 1, sampleRate);
      const sound = await context.decodeAudioData(await file.arrayBuffer());
      const samples = new Float32Array(sound.length);
      for (let i = 0; i < sound.numberOfChannels; i++) {
        sound.getChannelData(i).forEach((value, at) => (samples[at] += value / sound.numberOfChannels));
      }
      const probabilities = await recogniser.classify(samples);
      const best = probabilities.indexOf(Math.max(...probabilities));
      show(probabilities);
      log(`${file.name}  ${labels[best]}  ${probabilities[best].toFixed(2)}`);
    } catch (error) {
      log(`${file.name}  not readable (${error.message})`);
    }
  }
}

async function main() {
  let ort;
  try {
    ort = await import("./ort/ort.wasm.min.mjs");
  } catch {
    say("onnxruntime-web is missing in the folder ort/; README.md says how to get it.");
    return;
  }
  ort.env.wasm.numThreads = 1; // several need headers that not every server sends
  ort.env.wasm.wasmPaths = new URL("./ort/", import.meta.url).href;
  const about = await read("export.json", "json");
  const graphs = ["model.onnx", "stream.onnx"].map((name) => read(name, "arrayBuffer"));
  const [clips, stream] = (await Promise.all(graphs)).map((bytes) => new Uint8Array(bytes));
  recogniser = await Recogniser.create(ort, about, clips, stream);
  drawBars(about.labels);
  byId("listen").disabled = byId("files").disabled = false;
  byId("listen").addEventListener("click", toggle);
  byId("files").addEventListener("change", (event) => open(event.target.files));
  say("Ready.");
}

main().catch((error) => say(error.message));
