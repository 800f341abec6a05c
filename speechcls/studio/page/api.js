// What the page asks of the server.

import { clearProblem, find, say, showProblem } from "./ui.js";

const GONE =
  "The server does not answer. Start speechcls serve again; this page goes on by itself.";
let token = sessionStorage.getItem("speechcls-token");
let isGone = false;

const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

/** The address of a route with parameters. */
export function address(route, parameters = {}) {
  const query = new URLSearchParams(parameters).toString();
  return query ? `${route}?${query}` : route;
}

function headers(kind) {
  return {
    ...(token ? { authorization: `Bearer ${token}` } : {}),
    ...(kind ? { "content-type": kind } : {}),
  };
}

/** Ask for something; returns the answer, or throws an Error with a text for people. */
async function ask(method, route, parameters, body, kind) {
  for (;;) {
    let reply;
    try {
      reply = await fetch(address(route, parameters), { method, body, headers: headers(kind) });
    } catch {
      isGone = true;
      showProblem(GONE);
      if (method !== "GET") throw new Error(GONE);
      await sleep(2000);
      continue;
    }
    if (isGone) {
      isGone = false;
      clearProblem();
      say("The server answers again.");
    }
    if (reply.status === 401) {
      await signIn();
      continue;
    }
    if (reply.ok) return reply;
    let text = `the server answered ${reply.status}; try again`;
    if (reply.headers.get("content-type")?.startsWith("application/json"))
      text = (await reply.json()).error;
    throw new Error(text.charAt(0).toUpperCase() + text.slice(1));
  }
}

export const get = async (route, parameters) => (await ask("GET", route, parameters)).json();
export const post = async (route, parameters, body = "", kind = "") =>
  (await ask("POST", route, parameters, body, kind)).json();
export const postObject = (route, content, parameters = {}) =>
  post(route, parameters, JSON.stringify(content), "application/json");

let signingIn = null;

function signIn() {
  signingIn ??= new Promise((done) => {
    const form = find("sign-in");
    form.hidden = false;
    find("main").hidden = true;
    find("token").value = "";
    find("token").focus();
    if (token) showProblem("That was not the token. Try again.");
    form.addEventListener(
      "submit",
      (event) => {
        event.preventDefault();
        token = find("token").value.trim();
        sessionStorage.setItem("speechcls-token", token);
        form.hidden = true;
        find("main").hidden = false;
        clearProblem();
        signingIn = null;
        done();
      },
      { once: true },
    );
  });
  return signingIn;
}

let player = null;

/** Play a recording: the address of one, or bytes of a WAV; returns once it has ended. */
export async function play(source) {
  const sound = source instanceof Blob ? source : await (await ask("GET", source)).blob();
  player?.pause();
  const url = URL.createObjectURL(sound);
  player = new Audio(url);
  try {
    await new Promise((done) => {
      player.onended = player.onpause = player.onerror = done;
      player.play().catch(done);
    });
  } finally {
    URL.revokeObjectURL(url);
  }
}

/** A stream to a model. */
export function openStream(parameters) {
  const url = new URL(address("/v1/stream", parameters), location.href);
  url.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  return new WebSocket(url, token ? ["speechcls", `token.${token}`] : ["speechcls"]);
}

/** Open a page that the server makes first; the tab is there at once, as browsers want it. */
export async function openPage(make) {
  const tab = window.open("", "_blank");
  if (tab) {
    tab.document.title = "One moment";
    tab.document.body.textContent = "One moment: the page is being made.";
  }
  try {
    const url = address("/studio/page", { key: (await make()).page });
    if (tab) tab.location.replace(url);
    else location.assign(url);
  } catch (error) {
    tab?.close();
    throw error;
  }
}
