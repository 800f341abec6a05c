"""``speechcls synth``."""

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from speechcls.cli.common import reports_errors
from speechcls.cli.messages import Messages
from speechcls.cli.options import Quiet, Verbose
from speechcls.cli.progress import counting


@reports_errors
def synth(
    words: Annotated[list[str], typer.Argument(help="What to say.", metavar="WORD...")],
    out: Annotated[Path, typer.Option(help="Folder to write to.", metavar="DIR")] = Path("data"),
    per_word: Annotated[int, typer.Option(min=1, help="Clips of each word.")] = 100,
    language: Annotated[
        str, typer.Option(help="Language of the voices, as en, de or pt-br.", metavar="TAG")
    ] = "en",
    seed: Annotated[int, typer.Option(min=0, help="Seed of voices, places and levels.")] = 0,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Speak words with many synthetic voices, as a first data set.

    Writes 16 kHz WAVs, one folder a word; a voice counts as one speaker. It needs the optional
    espeak-ng: pip install 'speechcls[synth]'. Synthetic speech is a start only: record real
    people for serious use.

    Example: speechcls synth yes no stop go --out data/
    """
    from speechcls.synthesis.espeak import synthesise

    messages = Messages(quiet, verbose)
    with counting(messages, "speaking", len(words) * per_word) as on_clip:
        result = synthesise(words, out, per_word, language, seed, on_clip)
    for line in result.skipped:
        messages.detail(f"left out {line}")
    if result.skipped:
        n_by_word = Counter(line.split(": ")[0] for line in result.skipped)
        listed = ", ".join(f"{word} {n}" for word, n in n_by_word.items())
        messages.warn(f"{len(result.skipped)} voices failed and were left out: {listed}")
    messages.note(f"wrote {result.n_written} clips of {len(words)} words to {out}")
    messages.note(f"next: speechcls train {out}")
