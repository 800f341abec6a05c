"""The card of a model: README.md, whose first lines the Hugging Face Hub reads.

Labels and speakers are text of strangers, which is markup of neither YAML nor Markdown here.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from speechcls.artifact.format import Artifact
from speechcls.labels import UNKNOWN, is_command
from speechcls.text import counted, markdown, shorten, yaml_text

LIBRARY, TASK = "speechcls", "audio-classification"
_TAGS = ("speech-commands", "keyword-spotting", "onnx")
_BIASED = "on the validation clips, by which the best epoch was chosen: optimistically biased"
_ROWS_MAX = 200
"""Labels in the table of a card."""
_NAME_MAX = 100
"""Characters of a label."""
_N_IN_TITLE = 4
_HUB = re.compile(r"hf://datasets/([\w.-]+/[\w.-]+)")


class Score(NamedTuple):
    """A score that the Hub lists."""

    kind: str
    """As the Hub calls it."""
    value: float
    name: str


def front_matter(
    name: str,
    scores: Sequence[Score],
    data_name: str,
    *,
    datasets: Sequence[str] = (),
    license: str | None = None,
    language: str | None = None,
) -> str:
    """Return the first lines of a card, which the Hub reads: YAML between two lines of ``---``.

    Parameters
    ----------
    name : of the model
    data_name : what the scores are of, in words
    datasets : that trained it, as the Hub calls them
    license : None: none is named
    """
    lines = ["---", f"library_name: {LIBRARY}", f"pipeline_tag: {TASK}"]
    lines += [f"license: {yaml_text(license)}"] if license else []
    lines += [f"language: {yaml_text(language)}"] if language else []
    lines += ["tags:", *(f"- {tag}" for tag in _TAGS)]
    if datasets:
        lines += ["datasets:", *(f"- {yaml_text(each)}" for each in datasets)]
    if scores:
        kinds = dict.fromkeys(score.kind for score in scores)
        lines += ["metrics:", *(f"- {kind}" for kind in kinds)]
        lines += ["model-index:", f"- name: {yaml_text(name)}", "  results:"]
        lines += ["  - task:", f"      type: {TASK}", "      name: spoken commands"]
        of = yaml_text(datasets[0] if datasets else "custom")
        lines += ["    dataset:", f"      type: {of}", f"      name: {yaml_text(data_name)}"]
        lines += ["    metrics:"]
        for kind, value, text in scores:
            lines += [f"    - type: {kind}", f"      value: {value:.4f}"]
            lines += [f"      name: {yaml_text(text)}"]
    return "\n".join([*lines, "---", ""])


def without_front_matter(card: str) -> str:
    """Return the part of a card that is for people."""
    return re.sub(r"\A---\n.*?\n---\n", "", card, count=1, flags=re.DOTALL)


def write_card(
    artifact: Artifact,
    metrics: Mapping[str, Any],
    thresholds: Mapping[str, float] | None = None,
) -> bytes | None:
    """Return the card of a trained model; None where its metrics lack what stands in one.

    It follows from these alone, so that whoever has them can tell whether it was edited.

    Parameters
    ----------
    metrics : as ``metrics.json`` has them
    thresholds : of detection, by label
    """
    if not _has_scores(metrics):
        return None
    validation = metrics["validation"]
    match = _HUB.match(str(metrics["data"].get("address", "")))
    scores = [
        Score("accuracy", validation["balanced_accuracy"], f"balanced accuracy {_BIASED}"),
        Score("accuracy", validation["accuracy"], f"accuracy {_BIASED}"),
        Score("f1", validation["macro_f1"], f"macro F1 {_BIASED}"),
    ]
    words = [label for label in artifact.labels if is_command(label)]
    title = _title(words)
    head = front_matter(
        f"{artifact.network.arch}: {title}",
        scores,
        "validation clips of the training data",
        datasets=[match[1]] if match else [],
    )
    parts = [
        f"# {markdown(title)}",
        _about(artifact, words),
        _training(artifact, metrics),
        _table(artifact, validation, thresholds or {}),
        _usage(artifact),
        _LIMITS,
    ]
    body = "\n\n".join(parts)
    return f"{head}\n{body}\n".encode("utf-8", "replace")


def _has_scores(metrics: Mapping[str, Any]) -> bool:
    """Whether metrics, which may be those of a stranger's model, have all that a card says."""
    parts = [metrics.get(name) for name in ("validation", "training", "data", "versions")]
    if not all(isinstance(part, Mapping) for part in parts):
        return False
    validation, _, data, _ = (dict(part or {}) for part in parts)
    per_label, n_clips = validation.get("per_label"), data.get("n_clips")
    if not isinstance(per_label, Mapping) or not isinstance(n_clips, Mapping):
        return False
    numbers = [validation.get(n) for n in ("balanced_accuracy", "accuracy", "macro_f1", "n_clips")]
    numbers += [metrics.get("n_parameters"), metrics.get("multiply_adds"), *n_clips.values()]
    return (
        all(type(number) in (int, float) for number in numbers)
        and all(isinstance(row, Mapping) for row in per_label.values())
        and isinstance(metrics.get("history"), Sequence)
    )


def _title(words: Sequence[str]) -> str:
    shown = [shorten(word, _NAME_MAX) for word in words[:_N_IN_TITLE]]
    n_more = len(words) - len(shown)
    return f"Spoken commands: {', '.join(shown)}{f' and {n_more} more' if n_more else ''}"


def _name(label: str) -> str:
    return markdown(shorten(label, _NAME_MAX))


def _about(artifact: Artifact, words: Sequence[str]) -> str:
    features, others = artifact.features, [w for w in artifact.labels if not is_command(w)]
    names = ", ".join(_name(word) for word in words[:_ROWS_MAX])
    more = f" and {len(words) - _ROWS_MAX} more" if len(words) > _ROWS_MAX else ""
    rejects = (
        f"Anything else is one of {', '.join(map(_name, others))}."
        if UNKNOWN in others
        else "It takes any other sound for one of these: it was trained on them alone."
    )
    is_causal = artifact.network.is_streaming
    stream = " It is causal: `stream.onnx` runs on live sound." if is_causal else ""
    return (
        f"Recognises {len(words)} words in {features.duration_s:g} s of sound at"
        f" {features.sample_rate} Hz: {names}{more}. {rejects}{stream}"
    )


def _training(artifact: Artifact, metrics: Mapping[str, Any]) -> str:
    training = metrics["training"]
    clips = ", ".join(f"{n:,} {_name(name)}" for name, n in metrics["data"]["n_clips"].items())
    start = re.split(r"[/\\]", str(training.get("from_model", "none")))[-1]
    from_model = "" if start in ("none", "") else f" It started from the model {_name(start)}."
    size = f"{metrics['n_parameters']:,} parameters"
    cost = f"{metrics['multiply_adds'] / 1e6:.1f} million multiply-adds a clip"
    return (
        "## How it was trained\n\n"
        f"By speechcls {metrics['versions'].get('speechcls')} with the recipe"
        f" {training.get('recipe')}: the network"
        f" {_name(artifact.network.arch)} ({size}, {cost}) on"
        f" {artifact.features.kind} features; clips: {clips}. The best epoch was"
        f" {metrics.get('best_epoch')} of {len(metrics['history'])}.{from_model} Every"
        " setting is in `config.json`, the split of each clip in `split.csv`."
    )


def _table(
    artifact: Artifact, validation: Mapping[str, Any], thresholds: Mapping[str, float]
) -> str:
    lines = [
        "## How good it is",
        "",
        f"On {validation['n_clips']:,} validation clips"
        f"{_of_speakers(validation.get('n_speakers'))}: balanced accuracy (mean recall)"
        f" **{100 * validation['balanced_accuracy']:.1f} %**, accuracy"
        f" **{100 * validation['accuracy']:.1f} %**. The best epoch was chosen on these clips, so"
        " that the scores are **optimistically biased**; `speechcls evaluate` scores it on others.",
        "",
        "| label | precision % | recall % | F1 % | clips | threshold |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for label in artifact.labels[:_ROWS_MAX]:
        row = validation["per_label"].get(label, {})
        cells = [_per_cent(row.get(name)) for name in ("precision", "recall", "f1")]
        threshold = thresholds.get(label)
        cells += [str(row.get("n_clips", "")), "" if threshold is None else f"{threshold:.4f}"]
        lines.append(f"| {_name(label)} | {' | '.join(cells)} |")
    if (n_more := len(artifact.labels) - _ROWS_MAX) > 0:
        lines += ["", f"{n_more} more are in `metrics.json`."]
    lines += [
        "",
        "The thresholds are of detection in running sound, as `calibration.json` has them."
        if thresholds
        else "Without thresholds of its own, detection in running sound uses the same for all.",
    ]
    return "\n".join(lines)


def _of_speakers(n_speakers: object) -> str:
    return (
        f" by {counted(n_speakers, 'speaker')}"
        if isinstance(n_speakers, int) and n_speakers
        else ""
    )


def _per_cent(value: object) -> str:
    return f"{100 * value:.1f}" if isinstance(value, float | int) else "-"


def _usage(artifact: Artifact) -> str:
    rate, n_samples = artifact.features.sample_rate, artifact.features.n_samples
    return f"""## How to use it

With speechcls, in the folder of the model; any recording, of any length:

```sh
speechcls predict clip.wav -m .
```

With ONNX Runtime alone:

```python
import json, numpy, onnxruntime, soundfile
labels = json.load(open("config.json", encoding="utf-8"))["labels"]
session = onnxruntime.InferenceSession("model.onnx")
samples, rate = soundfile.read("clip.wav", dtype="float32")
assert rate == {rate} and samples.ndim == 1, "resample it, and mix it to one channel"
samples = samples[:{n_samples}]
missing = {n_samples} - len(samples)
samples = numpy.pad(samples, (missing // 2, missing - missing // 2))
[[probabilities]] = session.run(None, {{"samples": samples[None]}})
print(labels[probabilities.argmax()], float(probabilities.max()))
```"""


_LIMITS = """## Limits

* It knows the voices, microphones and rooms of its training clips; for others, score it there.
* One word at a time. `speechcls calibrate` measures how often other sound is taken for a word.
* No licence is named. Whoever may give one adds `license: apache-2.0`, say, to the first lines; the
  recordings that trained it may have one of their own."""
