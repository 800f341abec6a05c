"""A small data set and models whose units are looked at over it."""

import numpy as np
import soundfile
import torch
from common_explaining import make_lively, make_model

from speechcls.config import FeatureConfig, NetworkConfig
from speechcls.explain.habits import HabitSettings, run_clips
from speechcls.explain.page import write_habits
from speechcls.layouts.load import load_dataset
from speechcls.networks.zoo import feature_kind

RATE = 16_000
LABELS = ("bed", "no", "yes")
SETTINGS = HabitSettings(n_clips=12, n_top=3, n_similar=2)


def write_tones(folder, n_per_label=4):
    """Clips of three words, a tone each, shorter and longer than a window of 0.42 s."""
    rng = np.random.default_rng(0)
    for label, pitch in zip(LABELS, (0.05, 0.2, 0.6), strict=True):
        (folder / label).mkdir(parents=True)
        for i in range(n_per_label):
            n_samples = (4_000, 6_720, 9_000)[i % 3]
            samples = 0.02 * rng.standard_normal(n_samples)
            middle = slice(1_000 + 300 * i, 3_500)
            samples[middle] += 0.2 * np.sin((pitch + 0.01 * i) * np.arange(n_samples)[middle])
            soundfile.write(folder / label / f"s{i:02}_nohash_0.wav", samples, RATE)
    return folder


def make_habits(folder, arch, readout, change=make_lively, settings=SETTINGS):
    """A model, what it does on the clips of ``folder / data``, and the page of that."""
    running_s = 1.0 if readout == "stream" else 0.0
    features = FeatureConfig(kind=feature_kind(arch), duration_s=0.42, running_s=running_s)
    network = NetworkConfig(arch=arch, hidden_size=8, num_layers=2, readout=readout)
    place = folder / f"{arch}-{readout}"
    classifier, recogniser = make_model(place, features, network, change)
    data = folder / "data"
    dataset = load_dataset(data if data.is_dir() else write_tones(data))
    run = run_clips(classifier, dataset, settings)
    page = folder / f"{arch}-{readout}.html"
    write_habits(run, settings, arch, page)
    return recogniser, run, page


@torch.no_grad()
def torch_states(recogniser, run):
    """The states (n_clips, n_steps, n_outputs) of the last layer as torch computes them."""
    windows = torch.from_numpy(np.stack([clip.window.samples for clip in run.clips]))
    network = recogniser.network
    inputs = network.recurrence_inputs(recogniser.extract_features(windows))
    return network.recurrence(inputs)[0].numpy()


def in_sound(run, clip, step):
    """Whether a step is within the sound of a clip that is no longer than the window."""
    n_samples = min(round(run.clips[clip].window.clip_duration_s * RATE), 6_720)
    start = (6_720 - n_samples) // 2
    return start - 0.01 <= run.step_times_s[step] * RATE <= start + n_samples + 0.01
