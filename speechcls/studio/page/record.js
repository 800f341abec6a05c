// Takes of one word in a row: count-down, sound to the server, which cuts the word out.

import { post } from "./api.js";
import { levelOf, microphone, showLevel, toPcm } from "./microphone.js";
import { clearProblem, count, find, say, showProblem, sleep } from "./ui.js";
import { UNKNOWN, refresh, setLast, shownWord } from "./words.js";

const COUNT_S = 0.6;
const ROOM_S = 1; // of sound before the word, by which the server knows the noise of the room
const WAIT_S = 2.5;
const PAUSE_S = 0.45; // of quiet after the word: all of it is there
const SPEECH_OVER_NOISE_DB = 12;
const REJECTED_MOST = 3; // takes in a row that were no good, after which it gives up

let running = null;

class Stopped extends Error {}

/** Record takes of a word until there are as many as are asked for; return whether there are. */
export async function record(word, wanted = Number(find("in-a-row").value)) {
  if (running) return false;
  const back = document.activeElement;
  const speaker = find("speaker").value.trim();
  if (!speaker) {
    showProblem("Say who speaks first: takes of one person are kept together.");
    find("speaker").focus();
    return false;
  }
  let isDone = false;
  running = new AbortController();
  const { signal } = running;
  clearProblem();
  try {
    await microphone.open();
    find("recorder").hidden = false;
    find("stop-recording").focus({ preventScroll: true });
    isDone = await takes(word, speaker, wanted, signal);
  } catch (error) {
    if (!(error instanceof Stopped)) showProblem(error.message);
  } finally {
    running = null;
    find("recorder").hidden = true;
    await refresh().catch((error) => showProblem(error.message));
    (document.getElementById(back?.id ?? "") ?? find("word")).focus({ preventScroll: true });
  }
  return isDone;
}

async function takes(word, speaker, wanted, signal) {
  let written = 0;
  for (let rejected = 0; written < wanted && rejected < REJECTED_MOST;) {
    find("takes-left").textContent = `${written} of ${wanted} takes`;
    const said = await take(word, speaker, signal);
    if (said.written.length) {
      written += 1;
      rejected = 0;
      setLast(word, said.written[0].name);
      say(`Take ${written} of ${wanted} of ${shownWord(word)} is kept.`);
    } else {
      rejected += 1;
      say(`Once more: ${said.rejected.join("; ")}.`);
    }
    await refresh();
  }
  if (written < wanted)
    showProblem(
      `${written} of ${wanted} takes were good. ${find("status").textContent} Then press Record again.`,
    );
  else say(`Kept ${count(written, "take")} of ${shownWord(word)}.`);
  return written === wanted;
}

async function take(word, speaker, signal) {
  const from = microphone.now;
  for (const number of ["3", "2", "1"]) {
    await ask(number, COUNT_S, signal);
  }
  const room = Math.min(microphone.now - from, ROOM_S * microphone.rate);
  const asked = microphone.now;
  if (find("beep").checked) microphone.beep();
  await heard(
    word === UNKNOWN ? "say any other word" : `say “${word}”`,
    asked - room,
    asked,
    signal,
  );
  const pcm = toPcm(microphone.between(asked - room, microphone.now));
  find("prompt").textContent = "…";
  find("prompt").className = "";
  const after_s = (room / microphone.rate).toFixed(3);
  return post(
    "/studio/takes",
    { word, speaker, after_s },
    pcm,
    `audio/pcm;rate=${microphone.rate};encoding=s16le`,
  );
}

/** Show a text for so long, with the level. */
async function ask(text, seconds, signal) {
  find("prompt").textContent = text;
  find("prompt").className = "";
  const end = microphone.listen((block) => block && showLevel(find("level"), levelOf(block)));
  try {
    await sleep(seconds);
  } finally {
    end();
  }
  if (signal.aborted) throw new Stopped();
}

/** Wait for the word: until it is quiet again, or for so long. */
function heard(text, roomFrom, asked, signal) {
  find("prompt").textContent = text;
  find("prompt").className = "now";
  const step = microphone.blockLength;
  const levels = [];
  for (let at = roomFrom; at + step <= asked; at += step)
    levels.push(levelOf(microphone.between(at, at + step)));
  levels.sort((a, b) => a - b);
  const limit = Math.max(
    -55,
    (levels[Math.floor(levels.length / 10)] ?? -60) + SPEECH_OVER_NOISE_DB,
  );
  let loud = 0;
  let quiet = 0;
  let n = 0;
  return new Promise((done, fail) => {
    const end = microphone.listen((block) => {
      const isOver = () => {
        end();
        done();
      };
      if (signal.aborted) {
        end();
        fail(new Stopped());
        return;
      }
      if (!block) {
        end();
        fail(new Error("The microphone is gone. Connect it and press Record again."));
        return;
      }
      const level = levelOf(block);
      showLevel(find("level"), level);
      n += 1;
      if (level >= limit) {
        loud += 1;
        quiet = 0;
      } else quiet += 1;
      if ((loud >= 5 && quiet >= 50 * PAUSE_S) || n >= 50 * WAIT_S) isOver();
    });
  });
}

export function leaveRecorder() {
  running?.abort();
  microphone.close();
}

find("stop-recording").addEventListener("click", () => running?.abort());
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") running?.abort();
});
