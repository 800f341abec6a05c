"""``docs/results.json`` as tables for people."""

import statistics
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

Results = dict[str, dict[str, Any]]
Runs = list[dict[str, Any]]

_HEAD = """# Results

Written by `make results` from `docs/results.json`, which holds the command of every run.

Data: {data}
Accuracy is that on the validation speakers, ten labels: eight commands, `_unknown_`, `_silence_`.
No test speaker was used. The epoch that is kept is the best one on the same validation speakers,
so that all scores are slightly optimistically biased alike. Where words are left out of training
they are left out of the accuracy too. Babble is {babble}
"""
_DATA = (
    "11,583 clips of [Speech Commands](https://arxiv.org/abs/1804.03209) (Warden 2018,\n"
    "CC BY 4.0), about a third of the published set; 8 commands with 880-1,240 clips each."
)
_BABBLE = (
    "twenty voices of the\n[Free Spoken Digit Dataset](https://github.com/Jakobovski/"
    "free-spoken-digit-dataset)\n(CC BY-SA 4.0) at once, never used in training."
)
_TRIALS = Path(__file__).with_name("trials.md")
"""What was tried on the way, by hand."""
_EARLIER = (
    "\n\n(Of an earlier recipe: 25 steps per second, no sounds made to be rejected; accuracy in"
    " babble is that of all clips together.)"
)
_TABLES = {
    "bundled": (
        "## The models that come with speechcls\n\nTrained by `benchmarks/distil.py`; the mean of"
        " the seeds, ± their standard deviation. `missed`, `false` and `confused`: in an hour of"
        " validation words, 10 dB above the parts of the noise that no training uses."
    ),
    "bundled-teacher": (
        "## Their teachers\n\nTrained without a teacher, with less babble. This `commands` taught"
        " `commands-tiny`, and both of them the other models above."
    ),
    "bundled-unseen": (
        "## Left-out words\n\nThe same without the seventeen words that have fewest clips, which"
        " are then the words of strangers: `accepted`, taken for a command by the likeliest label,"
        " and at the thresholds of detection; `at 5 % lost`, where 5 % of the commands are below"
        " the threshold; AUROC of the likeliest command's probability."
    ),
    "stream": (
        "## Streaming\n\nCausal networks trained with `--streaming`; `in a stream` is the accuracy"
        " on the same validation clips, concatenated with pauses of 0.25 to 0.75 s."
    ),
    "full": "## The recipe `standard`\n\nThe mean of the seeds, ± their standard deviation.",
    "unseen": (
        "## New words\n\nTrained without the seventeen words that have fewest clips; `new words` is"
        " the percentage of their clips that are predicted as `_unknown_`."
    ),
    "zoo": (
        "## The zoo at a modest budget\n\nEvery architecture at `--size small` (below 100,000"
        " parameters), 12 epochs, one seed, without the seventeen words that have fewest clips."
    ),
    "ablation": "## The recipe with one ingredient taken out\n\n12 epochs, one seed.",
    "finetune": "## Starting from a trained model\n\nTwenty clips per word, of new words.",
}


def write_report(results: Results, path: Path) -> None:
    """Write the tables of all ``results`` to ``path``."""
    parts = [_HEAD.format(data=_DATA, babble=_BABBLE)]
    for table, text in _TABLES.items():
        groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for name, result in results.items():
            kind, *rest = name.split(" ")
            if kind == table:
                groups[" ".join(rest[:-1])].append(result)
        if groups:
            is_earlier = any("balanced_accuracy" not in r for runs in groups.values() for r in runs)
            parts.append(f"{text}{_EARLIER if is_earlier else ''}\n\n{_table(groups)}")
    path.write_text("\n".join([*parts, _TRIALS.read_text()]))


def _table(groups: dict[str, list[dict[str, Any]]]) -> str:
    """Return a row for each network, with the columns that the runs have values for."""
    columns = {
        name: values
        for name, value_of in _COLUMNS.items()
        if any(values := [value_of(runs) for runs in groups.values()])
    }
    order = sorted(range(len(groups)), key=lambda i: -_balanced(list(groups.values())[i]))
    names = list(groups)
    lines = [
        ["network", *columns],
        ["---", *["---:"] * len(columns)],
        *([f"`{names[i]}`", *(values[i] for values in columns.values())] for i in order),
    ]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _balanced(runs: Runs) -> float:
    """Return the balanced accuracy of runs in percent: the mean recall of the labels."""
    means: list[float] = [100 * statistics.mean(run["recall"].values()) for run in runs]
    return statistics.mean(means)


def _recall(runs: Runs, label: str) -> str:
    if label not in runs[0]["recall"]:
        return ""
    return f"{100 * statistics.mean(run['recall'][label] for run in runs):.1f}"


def _worst(runs: Runs) -> str:
    """Return the command with the lowest recall, and that."""
    commands = [label for label in runs[0]["recall"] if label[0] != "_"]
    recalls = {c: 100 * statistics.mean(run["recall"][c] for run in runs) for c in commands}
    worst = min(commands, key=recalls.__getitem__)
    return f"{worst} {recalls[worst]:.1f}"


def _spread(runs: Runs) -> str:
    """Return the balanced accuracy and its standard deviation."""
    each = [_balanced([run]) for run in runs]
    return f"{_balanced(runs):.2f}" + (f" ± {statistics.stdev(each):.2f}" if len(each) > 1 else "")


def _in_babble(runs: Runs) -> str:
    snrs = runs[0]["in_babble"]
    means = [100 * statistics.mean(run["in_babble"][snr] for run in runs) for snr in snrs]
    return " / ".join(f"{mean:.1f}" for mean in means)


def _mean(runs: Runs, *keys: str, format: str = "{:.1f}", factor: float = 1.0) -> str:
    """Return the mean of a value that lies under ``keys``; nothing where there is none."""
    found = []
    for run in runs:
        value: Any = run
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        if value is not None:
            found.append(factor * value)
    return format.format(statistics.mean(found)) if found else ""


_COLUMNS: dict[str, Callable[[Runs], str]] = {
    "parameters": lambda runs: f"{runs[0]['parameters']:,}",
    "multiply-adds": lambda runs: f"{runs[0]['multiply_adds'] / 1e6:.1f} M",
    "balanced %": _spread,
    "seeds": lambda runs: str(len(runs)),
    "accuracy %": lambda runs: _mean(runs, "accuracy", factor=100),
    "in a stream %": lambda runs: _mean(runs, "stream_accuracy", factor=100),
    "`_unknown_`": lambda runs: _recall(runs, "_unknown_"),
    "`_silence_`": lambda runs: _recall(runs, "_silence_"),
    "worst command": _worst,
    "babble 0/5/10/20 dB": _in_babble,
    "missed %": lambda runs: _mean(runs, "mixed_hour", "miss_rate", factor=100),
    "false": lambda runs: _mean(runs, "mixed_hour", "false_alarms"),
    "confused": lambda runs: _mean(runs, "mixed_hour", "confused"),
    "accepted %": lambda runs: _mean(runs, "unseen", "accepted", factor=100),
    "at thresholds": lambda runs: _mean(runs, "unseen", "accepted_at_threshold", factor=100),
    "at 5 % lost": lambda runs: _mean(runs, "unseen", "at_lost", "0.05", factor=100),
    "AUROC": lambda runs: _mean(runs, "unseen", "auroc", format="{:.3f}"),
    "new words %": lambda runs: _mean(runs, "unseen_recall", factor=100),
    "training": lambda runs: _mean(runs, "train_s", format="{:.0f} min", factor=1 / 60),
    "model": lambda runs: f"{runs[0]['model_bytes'] / 1e6:.2f} MB",
    "ms per clip": lambda runs: _mean(runs, "clip_ms", format="{:.2f}"),
}
"""Columns of the tables, each of a value of runs that differ by their seed alone."""
