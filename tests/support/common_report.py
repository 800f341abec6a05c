"""Predictions as a report takes them, made up."""

import numpy as np

from speechcls.config import FeatureConfig
from speechcls.evaluation.predictions import ClipRecord, EvaluationInfo, Predictions

ABOUT = EvaluationInfo(
    model="toy",
    data="toys",
    scored="all clips",
    caveat="",
    bad=(),
    created="2026-01-02 03:04 UTC",
    version="0",
    facts={"arch": "gru", "n_parameters": 1234},
    features=FeatureConfig(duration_s=0.5).to_dict(),
    card="",
)


def make_predictions(labels, truth, probabilities, speakers=None, **about):
    """Predictions of clips ``truth`` (indices) with ``probabilities`` (n_clips, n_labels)."""
    speakers = speakers or [""] * len(truth)
    clips = tuple(
        ClipRecord(
            path=f"{labels[t]}/{i}.wav",
            word=labels[t],
            label=labels[t],
            speaker=speaker,
            split="test",
            start_s=0.0,
            duration_s=0.5,
            level_db=-20.0 - i % 7,
            snr_db=float(i % 5),
        )
        for i, (t, speaker) in enumerate(zip(truth, speakers, strict=True))
    )
    rows = np.asarray(probabilities, dtype=np.float32)
    return Predictions(tuple(labels), clips, rows, ABOUT.__class__(**(vars(ABOUT) | about)))


def random_predictions(labels, n_clips, n_speakers, spoken=None, seed=0, **about):
    """Predictions that are mostly right, of ``spoken`` labels (indices; default: all)."""
    rng = np.random.default_rng(seed)
    truth = rng.choice(np.arange(len(labels)) if spoken is None else spoken, n_clips)
    logits = rng.normal(0, 1, (n_clips, len(labels)))
    logits[np.arange(n_clips), truth] += 3
    rows = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    speakers = [f"s{i % n_speakers}" for i in range(n_clips)] if n_speakers else None
    return make_predictions(labels, truth.tolist(), rows, speakers, **about)
