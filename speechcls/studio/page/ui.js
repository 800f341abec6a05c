// Small helpers: elements, messages to people, and focus that stays where it was.

export const find = (id) => document.getElementById(id);

/** An element with properties and children; `on…` are listeners, null children are left out. */
export function el(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name === "class") made.className = value;
    else if (name in made && !name.startsWith("aria-")) made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

/** What assistive technology reads out, and everybody sees at the bottom. */
export function say(text) {
  const status = find("status"); // the same text again is read out only if it differs
  status.textContent = status.textContent === text ? `${text}\u00a0` : text;
}

/** An error, with the next step, until the next one or `clearProblem`. */
export function showProblem(text) {
  find("problem").replaceChildren(
    el(
      "div",
      { class: "problem row" },
      el("span", {}, text),
      el("button", { type: "button", class: "small", onclick: clearProblem }, "Dismiss"),
    ),
  );
}

export function clearProblem() {
  find("problem").replaceChildren();
}

/** Run what a button starts, which does nothing meanwhile, but keeps the focus; errors are shown. */
export async function working(button, work) {
  if (button.getAttribute("aria-disabled") === "true") return undefined;
  button.setAttribute("aria-disabled", "true");
  try {
    return await work();
  } catch (error) {
    showProblem(error.message);
    return undefined;
  } finally {
    button.removeAttribute("aria-disabled");
  }
}

/** Replace the content of an element; the focus stays on what has the same id, or goes to `otherwise`. */
export function redraw(place, children, otherwise) {
  const active = place.contains(document.activeElement) ? document.activeElement : null;
  place.replaceChildren(...children);
  if (!active) return;
  const same = active.id && document.getElementById(active.id);
  (same || otherwise || place).focus();
}

export const percent = (ratio, digits = 0) => `${(100 * ratio).toFixed(digits)} %`;
export const count = (n, one, many = `${one}s`) => `${n} ${n === 1 ? one : many}`;
export const sleep = (seconds) => new Promise((done) => setTimeout(done, 1000 * seconds));
