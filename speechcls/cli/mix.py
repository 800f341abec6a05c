"""``speechcls mix``."""

from pathlib import Path
from typing import Annotated

from speechcls.cli.common import reports_errors
from speechcls.cli.inputs import read_store
from speechcls.cli.messages import Messages
from speechcls.cli.options import (
    DATA,
    Commands,
    DataSource,
    Jobs,
    NoiseFolder,
    Pattern,
    Quiet,
    Seed,
    Verbose,
    as_path,
    option,
    out_option,
    split_names,
)
from speechcls.cli.tables import print_line
from speechcls.config import FeatureConfig

_MODEL = option(
    *("--model", "-m"),
    help="Take the clips that this model held out. [default: those that train would hold out]",
    panel=DATA,
    metavar="MODEL",
    parser=as_path,
)
_MINUTES = option("--minutes", help="Length of the recording.", metavar="MINUTES")
_SNR = option("--snr", help="Power of each word over that of the noise under it.", metavar="DB")
_WORDS = option("--words-per-minute", help="Words per minute.")
_DISTRACTORS = option(
    "--distractors", help="Clips per minute of other words, which are not in the truth."
)


@reports_errors
def mix(
    data: DataSource,
    noise: NoiseFolder,
    pattern: Pattern = None,
    commands: Commands = None,
    model: Annotated[Path | None, _MODEL] = None,
    out: Annotated[Path, out_option("Folder to write to.", "DIR")] = Path("stream"),
    minutes: Annotated[float, _MINUTES] = 30.0,
    snr_db: Annotated[float, _SNR] = 10.0,
    words_per_minute: Annotated[float, _WORDS] = 10.0,
    distractors_per_minute: Annotated[float, _DISTRACTORS] = 0.0,
    seed: Seed = 0,
    jobs: Jobs = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Mix held-out words into background noise, to evaluate detection.

    Writes recording.wav, truth.txt (labels for Audacity) and truth.csv (with clip and speaker).
    The clips are those of the test split, else of the validation split, never of a speaker in the
    training split. Start and end in the truth are those of the word in its clip, found by its
    energy. Prints the path of the recording.

    Example: speechcls mix data/ --noise noise/ --minutes 2 --out stream/
    """
    from speechcls.artifact.store import load_artifact, load_split
    from speechcls.layouts.examples import find_noise
    from speechcls.layouts.load import load_dataset
    from speechcls.synthesis.mixing import RECORDING, MixSettings, choose_clips, write_mix

    messages = Messages(quiet, verbose)
    settings = MixSettings(minutes, snr_db, words_per_minute, distractors_per_minute, seed)
    names = split_names("commands", commands)
    artifact = load_artifact(model) if model else None
    sample_rate = artifact.features.sample_rate if artifact else FeatureConfig.sample_rate
    dataset, backgrounds = load_dataset(data, pattern), find_noise(noise)
    store = read_store(dataset, sample_rate, jobs, messages)
    chosen = choose_clips(store, names, load_split(artifact) if artifact else None)
    result = write_mix(store, chosen, dataset, backgrounds, out, settings)
    speakers = len({word.speaker for word in result.words} - {""})
    messages.note(
        f"{len(result.words)} words by {speakers} speakers of the {chosen.split} split and"
        f" {result.n_distractors} other clips in {minutes:g} minutes"
    )
    for warning in result.warnings:
        messages.warn(warning)
    if result.n_clipped:
        messages.warn(f"{result.n_clipped} samples were too loud and are clipped")
    print_line(out / RECORDING)
    messages.next_steps(("evaluate", "--stream", out / RECORDING, "--truth", out / "truth.csv"))
