"""``speechcls mix``."""

from pathlib import Path
from typing import Annotated

import typer

from speechcls.cli.common import reports_errors
from speechcls.cli.messages import Messages, report_bad
from speechcls.cli.options import Pattern, Quiet, Verbose, split_names
from speechcls.cli.progress import counting
from speechcls.config import FeatureConfig


@reports_errors
def mix(
    data: Annotated[
        Path, typer.Argument(help="Folder of recordings, or a manifest.", metavar="DATA")
    ],
    noise: Annotated[Path, typer.Option(help="Folder of background recordings.", metavar="DIR")],
    out: Annotated[Path, typer.Option(help="Folder to write to.", metavar="DIR")] = Path("stream"),
    minutes: Annotated[float, typer.Option(help="Length of the recording.")] = 30.0,
    snr: Annotated[
        float, typer.Option(help="A word's power against the background's where it lies, dB.")
    ] = 10.0,
    rate: Annotated[float, typer.Option(help="Words a minute.")] = 10.0,
    commands: Annotated[
        str | None,
        typer.Option(help="Words to lay, separated by commas. [default: all of the data]"),
    ] = None,
    distractors: Annotated[
        float, typer.Option(help="Clips a minute of other words, which the truth does not name.")
    ] = 0.0,
    model: Annotated[
        Path | None,
        typer.Option(
            "--model",
            "-m",
            help="Hold out the clips that this model did. [default: those that train would]",
        ),
    ] = None,
    pattern: Pattern = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of what is laid and where.")] = 0,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Lay held-out words over background sound, to test running recognition.

    Writes recording.wav, truth.txt (labels for Audacity) and truth.csv (with clip and speaker).
    The clips are those held out as test, else as validation, never by a speaker who trains. Start
    and end in the truth are those of the word, found by its energy. Prints the recording's path.

    Example: speechcls mix data/ --noise noise/ --minutes 2 --out stream/
    """
    from speechcls.artifact.store import load_artifact, load_split
    from speechcls.data.examples import find_recordings
    from speechcls.data.layouts import find_examples
    from speechcls.data.packing import open_store
    from speechcls.errors import DatasetError
    from speechcls.parallel import default_jobs
    from speechcls.synthesis.mixing import RECORDING, MixSettings, choose_clips, write_mix

    messages = Messages(quiet, verbose)
    settings = MixSettings(minutes, snr, rate, distractors, seed)
    names = split_names("--commands", commands)
    artifact = load_artifact(model) if model else None
    sample_rate = artifact.features.sample_rate if artifact else FeatureConfig.sample_rate
    dataset = find_examples(data, pattern)
    if not noise.is_dir() or not (backgrounds := list(find_recordings(noise))):
        raise DatasetError(f"{noise}: no folder with recordings of background sound; name one")
    with counting(messages, "reading", len(dataset.examples)) as on_clip:
        store = open_store(dataset.root, dataset.examples, sample_rate, default_jobs(), on_clip)
    report_bad(messages, dataset.problems + store.bad)
    chosen = choose_clips(store, names, load_split(artifact) if artifact else None)
    result = write_mix(store, chosen, dataset, backgrounds, out, settings)
    speakers = len({word.speaker for word in result.words} - {""})
    messages.note(
        f"{len(result.words)} words by {speakers} speakers of the {chosen.split} split and"
        f" {result.n_distractors} other clips in {minutes:g} minutes"
    )
    if result.n_clipped:
        messages.warn(f"{result.n_clipped} samples were too loud and are clipped")
    typer.echo(str(out / RECORDING))
    messages.note(f"next: speechcls evaluate --stream {out / RECORDING} --truth {out}/truth.csv")
