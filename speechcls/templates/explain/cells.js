// One unit of each kind of cell at one step, as speechcls/explain/recurrence.py has it for all units.
//
// sums has for each gate what its weights make of the input (x, with b_x) and of the state before
// (h, with b_h); before has the unit's own h and, in an LSTM, c; held(gate, value) is the value, or
// another one at which somebody holds the gate; equations are the
// same with their numbers, to read.

const SYMBOLS = { forget: "f", input: "i", output: "o", candidate: "c̃", reset: "r", update: "z", hidden: "a", cell: "c" };

const CELLS = {
  rnn: {
    gates: ["hidden"], holds: [],
    unit({ hidden }) { return { gates: {}, h: Math.tanh(hidden.x + hidden.h) }; },
    equations: (sums, before, { h }) => [sumEquation("hidden", "h", "tanh", sums.hidden, h, "the new state")],
  },
  fastrnn: {
    gates: ["hidden"], holds: [],
    unit({ hidden }, before, held, { alpha, beta }) {
      const pushed = Math.tanh(hidden.x + hidden.h);
      return { gates: {}, pushed, h: beta * before.h + alpha * pushed };
    },
    equations: (sums, before, { h, pushed }, { alpha, beta }) => [
      sumEquation("hidden", "a", "tanh", sums.hidden, pushed, "what a simple unit would become"),
      equation("h", "β·h + α·a", `${signed(beta)}·${signed(before.h)} + ${signed(alpha)}·${signed(pushed)}`, h,
        `${percent(beta)} of the old state stays, ${percent(alpha)} of a comes in`),
    ],
  },
  lstm: {
    gates: ["forget", "input", "candidate", "output"], holds: ["forget", "input", "output"],
    unit(sums, before, held) {
      const { forget, input, output } = squashed(sums, held, "forget", "input", "output");
      const candidate = Math.tanh(sums.candidate.x + sums.candidate.h);
      const cell = forget * before.c + input * candidate;
      return { gates: { forget, input, output, candidate, cell }, c: cell, h: output * Math.tanh(cell) };
    },
    equations: (sums, before, { gates, h }) => [
      ...lstmEquations(sums, before, gates),
      equation("h", "o·tanh(c)", `${signed(gates.output)}·${signed(Math.tanh(gates.cell))}`, h, "the new state: what the others see of the cell"),
    ],
  },
  lstmp: {
    gates: ["forget", "input", "candidate", "output"], holds: ["forget", "input", "output"],
    unit(...all) { return CELLS.lstm.unit(...all); },
    equations: (sums, before, { gates, h }) => [
      ...lstmEquations(sums, before, gates),
      equation("m", "o·tanh(c)", `${signed(gates.output)}·${signed(Math.tanh(gates.cell))}`, h, "the unit's part in every value of the projected state h = P m"),
    ],
  },
  gru: {
    gates: ["reset", "update", "candidate"], holds: ["reset", "update"],
    unit(sums, before, held) {
      const { reset, update } = squashed(sums, held, "reset", "update");
      const candidate = Math.tanh(sums.candidate.x + reset * sums.candidate.h);
      return { gates: { reset, update, candidate }, h: update * before.h + (1 - update) * candidate };
    },
    equations: (sums, before, { gates, h }) => [
      sumEquation("reset", "r", "σ", sums.reset, gates.reset, `the candidate sees ${percent(gates.reset)} of what the old states say`),
      sumEquation("update", "z", "σ", sums.update, gates.update, `${percent(gates.update)} of the old state stays`),
      equation("c̃", "tanh(W x + b + r·(W h + b))", `tanh(${four(sums.candidate.x)} + ${signed(gates.reset)}·${signed(sums.candidate.h)})`, gates.candidate, "what the state could become", "candidate"),
      equation("h", "z·h + (1 − z)·c̃", `${signed(gates.update)}·${signed(before.h)} + ${signed(1 - gates.update)}·${signed(gates.candidate)}`, h,
        `the new state: ${four(gates.update * before.h)} kept, ${four((1 - gates.update) * gates.candidate)} new`),
    ],
  },
  mingru: {
    gates: ["update", "candidate"], holds: ["update"],
    unit(sums, before, held) {
      const { update } = squashed(sums, held, "update"), candidate = sums.candidate.x;
      return { gates: { update, candidate }, h: (1 - update) * before.h + update * candidate };
    },
    equations: (sums, before, { gates, h }) => [
      sumEquation("update", "z", "σ", sums.update, gates.update, `${percent(gates.update)} of the candidate is taken`),
      equation("c̃", "W x + b", four(sums.candidate.x), gates.candidate, "what the state could become", "candidate"),
      equation("h", "(1 − z)·h + z·c̃", `${signed(1 - gates.update)}·${signed(before.h)} + ${signed(gates.update)}·${signed(gates.candidate)}`, h,
        `the new state: ${four((1 - gates.update) * before.h)} kept, ${four(gates.update * gates.candidate)} new`),
    ],
  },
};

function squashed(sums, held, ...gates) {
  return Object.fromEntries(gates.map(gate => [gate, held(gate, sigmoid(sums[gate].x + sums[gate].h))]));
}

function lstmEquations(sums, before, gates) {
  return [
    sumEquation("forget", "f", "σ", sums.forget, gates.forget, `${percent(gates.forget)} of the old cell ${four(before.c)} stays`),
    sumEquation("input", "i", "σ", sums.input, gates.input, `${percent(gates.input)} of the candidate is added`),
    sumEquation("candidate", "c̃", "tanh", sums.candidate, gates.candidate, "what could be added"),
    equation("c", "f·c + i·c̃", `${signed(gates.forget)}·${signed(before.c)} + ${signed(gates.input)}·${signed(gates.candidate)}`, gates.cell,
      `the new cell: ${four(gates.forget * before.c)} kept, ${four(gates.input * gates.candidate)} new`),
    sumEquation("output", "o", "σ", sums.output, gates.output, `${percent(gates.output)} of the cell is shown`),
  ];
}

// An equation, the same with numbers, its value and what that did; gate: whose weights it has.
function equation(symbol, formula, numbers, value, said, gate = "") { return { symbol, formula, numbers, value, said, gate }; }

function sumEquation(gate, symbol, squash, { x, h, hasState }, value, said) {
  const held = Math.abs(value - (squash === "tanh" ? Math.tanh(x + h) : sigmoid(x + h))) > 1e-9;
  const sum = hasState ? `${four(x)} + ${signed(h)}` : four(x);
  return equation(symbol, `${squash}(W x + b${hasState ? " + W h + b" : ""})`, held ? "held" : `${squash}(${sum})`, value, said, gate);
}

// Numbers as the page shows them: four decimals, negative ones in brackets where they are factors.
const four = value => number(value, 4);
function signed(value) { const text = number(value, 4); return text.startsWith("−") ? `(${text})` : text; }
function percent(fraction) { return `${number(100 * fraction, 0)} %`; }
