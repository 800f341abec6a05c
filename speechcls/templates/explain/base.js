// What every script of a page uses: the content, elements, numbers, colours.

const data = JSON.parse(document.getElementById("content").textContent);
const at = id => document.getElementById(id);
const number = (x, n = 2) => x.toFixed(n).replace(/^-(?=0\.?0*$)/, "").replace("-", "−");

function element(tag, parent, text = "", className = "") {
  const made = parent.appendChild(document.createElement(tag));
  made.textContent = text; made.className = className;
  return made;
}

// In print the colours are those of the light page, whatever the screen shows.
const PAPER = { "--ink": "#000", "--soft": "#444", "--line": "#bbb", "--mark": "#c2185b" };
let onPaper = false;
function colour(name) { return onPaper ? PAPER[name] : getComputedStyle(document.documentElement).getPropertyValue(name); }

// A table row: a heading, then cells; those that are numbers are aligned by their decimal point.
function tableRow(body, heading, cells) {
  const row = element("tr", body);
  element("th", row, heading).scope = "row";
  for (const cell of cells) element("td", row, typeof cell === "number" ? number(cell, 4) : cell, typeof cell === "number" ? "number" : "");
  return row;
}
