"""Make a run of ``results.py`` a model that comes with speechcls, with its card.

``bundle.py NAME RUN ABOUT`` copies the artifact of the run to ``models/NAME`` and writes its card.
"""

import argparse
import json
import shutil
from typing import Any

from results import HERE, Places

BUNDLED = HERE.parent / "models"

_CARD = """# {name}

{about}
{parameters:,} parameters, {megabytes:.2f} MB as `model.onnx`; {multiply_adds:.1f} million
multiply-adds and {clip_ms:.1f} ms a clip on one core.

Made by `make results`, or alone by

```sh
{command} --out models/{name}
```

which took {minutes:.0f} minutes (threads: {threads}). The recipe and every setting
are in `metrics.json`, the split of every clip in `split.csv`. Accuracy by seed: {seeds}.

## Data and licence

Trained on 10,092 clips by 1,534 speakers of Speech Commands (P. Warden, "Speech Commands: a dataset
for limited-vocabulary speech recognition", arXiv:1804.03209, CC BY 4.0), about a third of the
published set, and its background noise. The model is under the licence of speechcls, Apache-2.0;
name the data set when you pass it on.

## How good it is

On the 1,624 validation clips, by 193 speakers it was not trained on; the best epoch was chosen on
them, so the figures are optimistically biased: **{accuracy:.2f} %** of the clips right.

{stream}
| label | recall % |
| --- | ---: |
{recalls}

Words mixed with babble of twenty voices of the Free Spoken Digit Dataset, a noise it was never
trained with:

| signal-to-noise ratio | right % |
| --- | ---: |
{babble}

{unseen}

## Limits

* One second, one word, English, mostly adults with a close microphone; not measured on children,
  other languages or accents. Train your own with `speechcls train`, or start from this model with
  `--from`.
* It is no wake word: in running speech it takes unknown words for a command too often for that.
  `speechcls calibrate` measures how often in your sound.
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


def write_card(name: str, run: str, about: str, results: dict[str, dict[str, Any]]) -> str:
    """Return the text of the card."""
    result = results[run]
    family, _ = run.split(" seed=")
    seeds = [
        f"{key.split('=')[-1]}: {100 * other['accuracy']:.2f} %"
        for key, other in results.items()
        if key.startswith(f"{family} seed=")
    ]
    unseen = results.get(f"unseen {family.split(' ', 1)[1]} seed=0")
    stream = ""
    if "stream_accuracy" in result:
        share = 100 * result["stream_accuracy"]
        stream = f"Concatenated into one stream, **{share:.2f} %** of the same\nclips are right.\n"
    text = ""
    if unseen:
        recall = 100 * unseen["unseen_recall"]
        text = (
            "A model trained the same way without the seventeen rarest words took"
            f" {recall:.1f} % of their clips\nfor `_unknown_`, the others for a command."
            " This one was trained on all 27 other words of the data."
        )
    return _CARD.format(
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
        recalls="\n".join(
            f"| {f'`{k}`' if k.startswith('_') else k} | {100 * v:.1f} |"  # no emphasis
            for k, v in result["recall"].items()
        ),
        babble="\n".join(f"| {k} dB | {100 * v:.1f} |" for k, v in result["in_babble"].items()),
        unseen=text,
        stream=stream,
    )


if __name__ == "__main__":
    main()
