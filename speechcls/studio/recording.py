"""Takes of a word from the sound that a browser sends, cut as ``record`` cuts them."""

import io
import math
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from speechcls.audio.blocks import open_recording
from speechcls.audio.samples import Samples
from speechcls.audio.speech import Utterance, UtteranceFinder
from speechcls.errors import AudioError
from speechcls.live.sources import FileSource, at_rate
from speechcls.live.takes import SAMPLE_RATE, ClippingMeter, reject_reason

TAKE_S = 1.0
"""Duration of a take, seconds."""
WHOLE_S = 2.0
"""A recording up to so long is a take as it is, seconds."""
_EARLY_S = 0.15
"""How much before the word was asked for it may begin, seconds."""


class _Heard(NamedTuple):
    utterance: Utterance
    fault: str | None


@dataclass
class Cut:
    """What a recording came to."""

    takes: list[Samples] = field(default_factory=list)
    """(n_samples,) at ``SAMPLE_RATE`` of each."""
    rejected: list[str] = field(default_factory=list)
    """Why an utterance is no take: fact and next step."""
    warnings: list[str] = field(default_factory=list)
    """What was wrong with the recording."""


def cut_prompted(content: bytes, name: str, after_s: float) -> Cut:
    """Return the first word that is said after it was asked for.

    Parameters
    ----------
    content : a recording in any format, which begins with the room alone
    name : what errors call it
    after_s : when the word was asked for, seconds from the start of the recording

    Raises
    ------
    AudioError
        When it cannot be read.
    """
    cut = Cut()
    for utterance, fault in _utterances(content, name, cut):
        if utterance.start_s < after_s - _EARLY_S:
            continue
        _sort(cut, utterance, fault)
        break
    else:
        cut.rejected.append("no word was found; say it louder, or come nearer")
    return cut


def cut_imported(content: bytes, name: str, longest_s: float) -> Cut:
    """Return a short recording as it is, and of a long one each utterance between pauses.

    Parameters
    ----------
    longest_s : seconds that it may last

    Raises
    ------
    AudioError
        When it cannot be read, or lasts longer.
    """
    cut = Cut()
    whole = _read_short(content, name, cut)
    if whole is not None:
        return Cut([whole], warnings=cut.warnings)
    found = [*_utterances(content, name, cut, longest_s)]
    for utterance, fault in found:
        _sort(cut, utterance, fault)
    if not found:
        cut.rejected.append("no word was found between pauses; import a louder recording")
    return cut


def _read_short(content: bytes, name: str, cut: Cut) -> Samples | None:
    """Return a recording of up to ``WHOLE_S`` seconds; None for a longer one."""
    pieces, n_samples = [], 0
    with open_recording(io.BytesIO(content), SAMPLE_RATE, name=name) as reader:
        for block in reader.blocks():
            pieces.append(block)
            n_samples += len(block)
            if n_samples > round(WHOLE_S * SAMPLE_RATE):
                return None
        cut.warnings += reader.notes
    return np.concatenate(pieces)


def _utterances(
    content: bytes, name: str, cut: Cut, longest_s: float = math.inf
) -> Iterator[_Heard]:
    """Yield each utterance, and why it is no take."""
    meter, finder, left_s = ClippingMeter(), UtteranceFinder(SAMPLE_RATE, TAKE_S), longest_s

    def judged(found: Iterator[Utterance]) -> Iterator[_Heard]:
        for utterance in found:
            first_s = utterance.start_s + (utterance.speech_s - TAKE_S) / 2
            clipped = meter.clipped_ratio(first_s, first_s + TAKE_S)
            fault = reject_reason(utterance.samples, utterance.speech_s, TAKE_S, clipped)
            yield _Heard(utterance, fault)

    with closing(FileSource(io.BytesIO(content), speed=0, name=name)) as source:
        for block in at_rate(meter.watch(source.blocks()), SAMPLE_RATE):
            left_s -= len(block.samples) / block.rate
            if left_s < 0:
                raise AudioError(f"{name}: lasts more than {longest_s:g} s; import it in parts")
            cut.warnings += block.warnings
            yield from judged(finder.push(block.samples))
    yield from judged(finder.finish())


def _sort(cut: Cut, utterance: Utterance, fault: str | None) -> None:
    if fault is None:
        cut.takes.append(utterance.samples)
    else:
        cut.rejected.append(f"the word at {utterance.start_s:.1f} s is {fault}")
