"""Write ``expected.json`` beside each model, with the speechcls that made it (see README.md)."""

import json
import sys
from pathlib import Path

import soundfile
from signals import CLIPS, RATE, STREAM
from speechcls.classifier import Classifier

from speechcls.artifact import load_artifact


def main(folder):
    """Predict all clips; where the model can, run the stream and find its events."""
    artifact = load_artifact(folder)
    classifier = Classifier(artifact, jobs=1)
    clips = {}
    for name, pcm in CLIPS.items():
        place = folder / "clip.wav"
        soundfile.write(place, pcm, RATE, subtype="PCM_16")
        clips[name] = classifier.predict(place).probabilities
        place.unlink()
    expected = {"clips": clips}
    if (folder / "stream.onnx").is_file():
        from speechcls.events import EventFinder, choose_thresholds, find_events
        from speechcls.streaming import Stream

        samples = STREAM.astype("float32") / 32_768
        stream = Stream(artifact)
        parts = [stream.feed(samples), stream.finish()]
        expected["times_s"] = [t for part in parts for t in part.times_s.tolist()]
        expected["posteriors"] = [row for part in parts for row in part.probabilities.tolist()]
        stream = Stream(artifact)
        # A model that is not calibrated is too unsure of itself for the default of 0.6.
        threshold = None if (folder / "calibration.json").is_file() else 0.3
        finder = EventFinder(stream, choose_thresholds(artifact, threshold, None))
        expected["threshold"] = threshold
        expected["events"] = [
            [event.start_s, event.end_s, event.label, event.probability]
            for event in find_events(stream, [samples], finder)
        ]
    (folder / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")


for name in sys.argv[1:]:
    main(Path(name))
