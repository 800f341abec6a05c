"""``speechcls synth``."""

from collections import Counter
from itertools import chain
from pathlib import Path
from typing import Annotated

import typer

from speechcls.cli.common import given, reports_errors
from speechcls.cli.messages import Messages
from speechcls.cli.options import Quiet, Seed, Verbose, option, out_option
from speechcls.cli.progress import item_bar
from speechcls.labels import UNKNOWN
from speechcls.text import counted

_PER_WORD = option("--per-word", min=1, help="Clips of each word.")
_LANGUAGE = option("--language", help="Language of the voices: en, de, pt-br, ...", metavar="TAG")


@reports_errors
def synth(
    ctx: typer.Context,
    words: Annotated[list[str], typer.Argument(help="Words to speak.", metavar="WORD...")],
    out: Annotated[Path, out_option("Folder to write to.", "DIR")] = Path("data"),
    per_word: Annotated[int, _PER_WORD] = 100,
    language: Annotated[str, _LANGUAGE] = "en",
    seed: Seed = 0,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Synthesise words in many voices, as a first data set.

    Writes 16 kHz WAVs, one folder per word; each voice counts as a speaker. It needs the optional
    espeak-ng: pip install 'speechcls[synth]'. Each clip of the word _unknown_ is another word that
    nobody says, some of them like one of yours: without them a recogniser takes any synthetic voice
    for your words. Synthetic speech is a start only: record real people for serious use.

    Example: speechcls synth yes no stop go _unknown_ --out data/
    """
    from speechcls.synthesis.espeak import synthesise

    messages = Messages(quiet, verbose)
    with item_bar(messages, "synthesising", len(words) * per_word) as on_clip:
        result = synthesise(words, out, per_word, language, seed, on_clip)
    for line in result.skipped:
        messages.detail(f"left out {line}")
    if result.skipped:
        n_by_word = Counter(line.split(": ")[0] for line in result.skipped)
        listed = ", ".join(f"{word} {n}" for word, n in n_by_word.items())
        messages.warn(f"{len(result.skipped)} voices failed and were left out: {listed}")
    messages.note(f"wrote {counted(result.n_written, 'clip')} of {_describe(words)} to {out}")
    steps: list[tuple[object, ...]] = [("check", out), ("train", out)]
    if not (out / UNKNOWN).exists():
        chosen = {"per_word": per_word, "language": language, "seed": seed}
        same = [
            (f"--{name.replace('_', '-')}", chosen[name]) for name in chosen if name in given(ctx)
        ]
        steps.insert(0, ("synth", UNKNOWN, "--out", out, *chain(*same)))
    messages.next_steps(*steps)


def _describe(words: list[str]) -> str:
    """Return how many words there are, and whether others are as well."""
    own = [counted(n, "word")] if (n := len([word for word in words if word != UNKNOWN])) else []
    return " and ".join(own + ["other words"] * (UNKNOWN in words))
