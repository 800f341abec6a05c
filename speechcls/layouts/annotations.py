"""Annotated words of recordings: label tracks of Audacity or CSV, and the lists of Kaldi."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from speechcls.audio.decode import open_binary
from speechcls.audio.sound import open_sound
from speechcls.errors import DatasetError, SpeechclsError, reason_of
from speechcls.files import read_text, write_atomic, write_csv
from speechcls.labels import speaker_of
from speechcls.layouts.columns import Columns, as_number, list_names, match_columns, text_of
from speechcls.layouts.examples import Example
from speechcls.layouts.names import clean_label
from speechcls.layouts.tables import Table, read_table
from speechcls.text import escape, unescape

LABELS, TABLE = "truth.txt", "truth.csv"
_COLUMNS = ("start_s", "end_s", "label", "path", "speaker")
_LONG_S = 100
_ENDINGS = (".txt", "_labels.txt", "-labels.txt", ".labels.txt", " labels.txt", "_label.txt")
_TRACK_ENDINGS = (*_ENDINGS, *(ending.upper() for ending in _ENDINGS))
"""What the name of a recording's label track ends in, after that of the recording."""
_MOST_WORDS = 2
_PLAIN = re.compile(r"(?:cat|flac(?: -[cds]+)+) (\S+) *\|")
"""Commands of a wav.scp that only read a file, which can be read without them."""


@dataclass(frozen=True)
class Word:
    """One word that is said in a recording."""

    start_s: float
    """Seconds from the start of the recording to that of the word, not of its clip."""
    end_s: float
    label: str
    path: str = ""
    """The clip it was taken from, where it was."""
    speaker: str = ""

    @property
    def centre_s(self) -> float:
        """The centre of the word."""
        return (self.start_s + self.end_s) / 2


def _refuse(message: str) -> None:
    raise DatasetError(message)


def read_truth(path: Path, on_skip: Callable[[str], None] = _refuse) -> list[Word]:
    """Return the words that a file names, in order of their start.

    It is a CSV with columns ``start_s,end_s,label`` (and optionally ``path,speaker``), or a label
    track as Audacity exports it: start, end and label of each, separated by tabs or blanks. Seconds
    may have a decimal comma.

    Parameters
    ----------
    on_skip : called with a line for each label that is empty; by default that is an error

    Raises
    ------
    DatasetError
        When it is missing or in another format.
    """
    is_table = path.suffix.lower() in (".csv", ".tsv")
    words = list(_table_words(path, on_skip) if is_table else _track_words(path, on_skip))
    if not words:
        raise DatasetError(f"{path}: contains no words; give a line for each: start, end, label")
    return sorted(words, key=lambda word: word.start_s)


def _table_words(path: Path, on_skip: Callable[[str], None]) -> Iterator[Word]:
    table = read_table(path)
    columns = match_columns(table, {}, needed=())
    if missing := [name for name in _COLUMNS[:3] if name.removesuffix("_s") not in columns]:
        raise DatasetError(
            f"{table.header}: no column {' and '.join(missing)}; it has"
            f" {list_names(table.columns)}; name them {','.join(_COLUMNS)} in the first line (the"
            " last two may be left out)"
        )
    for i, row in enumerate(table.rows):
        cells = [text_of(row, columns[field]) for field in ("start", "end", "label")]
        others = [text_of(row, columns.get(field)) for field in ("path", "speaker")]
        if word := _as_word(table.where(i), cells, ",".join(cells), on_skip):
            yield Word(word.start_s, word.end_s, word.label, *others)


def _track_words(path: Path, on_skip: Callable[[str], None]) -> Iterator[Word]:
    try:
        text = read_text(path, fallback="cp1252")
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(
            f"{path}: cannot read the annotations ({reason_of(error)}); give Audacity's labels"
            " or a CSV"
        ) from error
    for number, line in enumerate(text.split("\n"), start=1):
        # A line that begins with a backslash gives the frequencies of the label above it.
        if line.strip() and not line.startswith("\\"):
            word = _as_word(f"{path}:{number}", _cells_of(line), line.strip("\r\n"), on_skip)
            if word:
                yield word


def _cells_of(line: str) -> list[str]:
    """Return start, end and label of a line, which blanks may separate in place of tabs."""
    cells = line.strip("\r\n").split("\t")[:3]
    if len(cells) == 1 or _time_of(cells[0]) is None:
        cells = line.strip().split(None, 2)
    return [*cells, ""] if len(cells) == 2 else [*cells[:2], *map(unescape, cells[2:])]


def _time_of(text: str) -> float | None:
    """Return seconds, also of h:m:s and m:s; None where it is no time."""
    seconds = 0.0
    for part in text.strip().split(":", 2):
        if (number := as_number(part)) is None:
            return None
        seconds = 60 * seconds + number
    return seconds


def _as_word(
    where: str, cells: Sequence[str], line: str, on_skip: Callable[[str], None]
) -> Word | None:
    """Return a word; None where its label is empty, which ``on_skip`` is told."""
    start_s, end_s = ([_time_of(cell) for cell in cells[:2]] + [None, None])[:2]
    if start_s is None or end_s is None or not 0 <= start_s <= end_s or len(cells) < 3:
        raise DatasetError(
            f"{where}: {line[:80]!r} is not start, end (seconds) and label of a word; correct the"
            " line"
        )
    if not (label := clean_label(cells[2])):
        on_skip(f"{where}: {line[:80]!r} has no label, which is left out; name the word")
        return None
    return Word(start_s, end_s, label)


def find_track(recording: Path) -> Path | None:
    """Return the label track beside a recording, as ``rec.txt`` of ``rec.wav``; None without one.

    A text whose first line is not a label, as a transcript, is none.
    """
    for ending in _TRACK_ENDINGS:
        path = recording.with_name(recording.stem + ending)
        try:
            text = read_text(path, 2**16, fallback="cp1252") if path.is_file() else ""
        except (OSError, UnicodeDecodeError):  # of another kind
            continue
        lines = text.split("\n")
        first = next((line for line in lines if line.strip() and line[0] != "\\"), "")
        times = _cells_of(first)[:2]
        # Numbers may be read aloud as well: between blanks, times have decimals.
        are_times = "\t" in first or all("." in time or "," in time for time in times)
        if are_times and len(times) == 2 and None not in map(_time_of, times):
            return path
    return None


def examples_of_track(
    recording: Path, on_skip: Callable[[str], None] = _refuse
) -> list[Example] | None:
    """Return a clip for each label of the track beside a recording; None where there is no track.

    Parameters
    ----------
    on_skip : called with a line for each label that is empty, or that marks a point and no clip; by
        default that is an error

    Raises
    ------
    DatasetError
        When a line of the track cannot be understood.
    """
    if (track := find_track(recording)) is None:
        return None
    examples = []
    for word in read_truth(track, on_skip):
        if word.end_s > word.start_s:
            speaker = speaker_of(recording.name)
            examples.append(Example(recording, word.label, speaker, None, word.start_s, word.end_s))
        else:
            on_skip(
                f"{track}: {word.label} at {word.start_s:g} s marks a point and no clip, which is"
                " left out; select the whole word in Audacity and label that"
            )
    return examples


def write_truth(words: Sequence[Word], folder: Path) -> None:
    """Write ``truth.txt``, labels that Audacity imports, and ``truth.csv`` with all columns."""
    rows = [
        (f"{word.start_s:.3f}", f"{word.end_s:.3f}", word.label, word.path, word.speaker)
        for word in words
    ]
    labels = "".join("\t".join(map(escape, row[:3])) + "\n" for row in rows)
    write_atomic(folder / LABELS, labels.encode("utf-8", "surrogateescape"))
    write_csv(folder / TABLE, _COLUMNS, rows)


# Parts of recordings


def check_unit(table: Table, columns: Columns, paths: Sequence[Path | None]) -> None:
    """Refuse times that count samples or milliseconds: whole numbers that no recording lasts.

    Parameters
    ----------
    paths : the recording of each row; None: there is none

    Raises
    ------
    DatasetError
        When nearly all ends are such, and recordings are shorter.
    """
    column = columns.get("end") or (columns.get("duration") if "start" in columns else None)
    if column is None or column.unit_s != 1:
        return
    ends = {i: as_number(row[column.index]) for i, row in enumerate(table.rows)}
    known = {i: end for i, end in ends.items() if end is not None and paths[i]}
    large = [i for i, end in known.items() if end > _LONG_S and end == int(end)]
    if not large or len(large) < 0.9 * len(known):
        return
    if any(_lasts(paths[i], known[i]) for i in large[:3]):
        return
    raise DatasetError(
        f"{table.where(large[0])}: {column.name} {known[large[0]]:g} is after the end of the"
        " recording, as if it counted samples or milliseconds; divide it to give seconds, or call"
        " columns of milliseconds start_ms and end_ms or duration_ms",
        field="columns",
    )


def _lasts(path: Path | None, seconds: float) -> bool:
    """Whether a recording is so long, or may be."""
    try:
        with open_binary(path or "") as file, closing(open_sound(file)) as sound:
            return sound.n_frames is None or sound.n_frames / sound.rate >= seconds
    except (OSError, SpeechclsError):  # it is reported where it is read
        return False


# Kaldi


def read_kaldi_table(folder: Path) -> Table:
    """Return the utterances of a folder with ``wav.scp`` and ``text`` as rows.

    Commands in ``wav.scp`` are not run; those that only read a file stand for it.

    Raises
    ------
    DatasetError
        When a list is missing or cannot be understood, or the texts are sentences.
    """
    recordings = _read_pairs(folder / "wav.scp")
    texts = _read_pairs(folder / "text")
    speakers = _read_pairs(folder / "utt2spk") if (folder / "utt2spk").is_file() else {}
    segments = _read_pairs(folder / "segments") if (folder / "segments").is_file() else None
    columns = ["path", "label", "speaker", "start", "end"]
    table = Table(folder / "text", columns, [], [])
    paths: dict[str, str] = {}
    for name, (number, value) in recordings.items():
        plain = _PLAIN.fullmatch(value)
        if not plain and (value.endswith("|") or re.search(r"\.ark:\d+$", value)):
            table.problems.append(
                f"{folder / 'wav.scp'}:{number}: not a file but a command or a part of an archive,"
                f" which is not run ({value}); write it to a file and name that"
            )
        else:
            paths[name] = plain[1] if plain else value
    numbers = []
    for utterance, (number, text) in texts.items():
        label, where = clean_label(text), f"{folder / 'text'}:{number}"
        if len(label.split()) > _MOST_WORDS:
            raise DatasetError(
                f"{where}: {label[:40]!r} is a sentence, not a label of one word or two; cut the"
                " recordings into words"
            )
        parts = [utterance, "", ""] if segments is None else _segment(folder, segments, utterance)
        if not label or parts is None or parts[0] not in recordings:
            fault = "no text" if not label else "no such recording in wav.scp or segments"
            table.problems.append(f"{where}: {utterance}: {fault}")
        elif parts[0] in paths:
            speaker = speakers.get(utterance, (0, ""))[1]
            table.rows.append((paths[parts[0]], label, speaker, *parts[1:]))
            numbers.append(number)
    table.numbers = numbers
    listed, known = (recordings, "wav.scp") if segments is None else (segments, "segments")
    for name, (number, _) in listed.items():
        if name not in texts:
            table.problems.append(f"{folder / known}:{number}: no line for {name} in text")
    return table


def _segment(
    folder: Path, segments: dict[str, tuple[int, str]], utterance: str
) -> Sequence[str] | None:
    """Return recording, start and end of an utterance; an end below 0 is that of the recording."""
    if utterance not in segments:
        return None
    number, value = segments[utterance]
    parts = value.split()
    if len(parts) < 3:
        raise DatasetError(
            f"{folder / 'segments'}:{number}: {value!r} is not a recording, its start and its end;"
            " correct the line"
        )
    return (parts[0], parts[1], "" if parts[2].startswith("-") else parts[2])


def _read_pairs(path: Path) -> dict[str, tuple[int, str]]:
    """Return what follows the first word of each line, with its number, by that word."""
    try:
        text = read_text(path)
    except OSError as error:
        raise DatasetError(f"{path}: {reason_of(error)}; Kaldi's lists name each clip") from error
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path}: not UTF-8 text; save it as UTF-8") from error
    pairs: dict[str, tuple[int, str]] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        if words := line.split(None, 1):
            pairs[words[0]] = (number, words[1].strip() if len(words) > 1 else "")
    return pairs
