"""Small data sets laid out on disk as ten well-known ones are, files beside the recordings and all.

Each function makes one below ``root`` and returns what a user would name as DATA.
"""

import json
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile

WORDS = ("oui", "non")
RATE = 16_000


def recording(path: Path, word: str, take: object, n_words: int = 1) -> None:
    """Write a sound that is the word's, and a little different in each take."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(zlib.crc32(f"{word}/{take}".encode()))
    pitch = np.random.default_rng(zlib.crc32(word.encode())).uniform(200, 2_000)
    time_s = np.arange(RATE // 2) / RATE
    tone = np.sin(2 * np.pi * pitch * (1 + rng.uniform(-0.02, 0.02)) * time_s)
    word_and_pause = np.concatenate([tone * np.hanning(len(tone)), np.zeros(RATE // 2)])
    samples = 0.3 * np.tile(word_and_pause, n_words)
    samples += 0.002 * rng.standard_normal(len(samples))
    soundfile.write(path, samples, RATE)


def text(path: Path, content: str) -> None:
    """Write a text file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")


def esc50(root: Path) -> list[Path]:
    """Environmental sounds: audio/, and meta/ with folds."""
    rows = []
    for fold in range(1, 6):
        for take, word in enumerate(WORDS):
            name = f"{fold}-{1000 + 7 * fold + take}-A-{take}.wav"
            recording(root / "audio" / name, word, name)
            rows.append(f"{name},{fold},{take},{word},True,{1000 + fold},A")
    header = "filename,fold,target,category,esc10,src_file,take"
    text(root / "meta/esc50.csv", "\n".join([header, *rows]) + "\n")
    text(root / "README.md", "# ESC-50\n")
    text(root / "requirements.txt", "numpy\n")
    return [root]


def urbansound8k(root: Path) -> list[Path]:
    """Ten folders called fold; start and end are those in another file."""
    rows = []
    for fold in range(1, 11):
        for class_id, word in enumerate(WORDS):
            name = f"{100 + fold}-{class_id}-0-0.wav"
            recording(root / f"audio/fold{fold}" / name, word, name)
            rows.append(f"{name},{100 + fold},58.5,59.5,1,{fold},{class_id},{word}")
    header = "slice_file_name,fsID,start,end,salience,fold,classID,class"
    text(root / "metadata/UrbanSound8K.csv", "\n".join([header, *rows]) + "\n")
    text(root / "FREESOUNDCREDITS.txt", "credits\n")
    return [root]


def common_voice(root: Path) -> list[Path]:
    """clips/, and a table for each split; sentences are single words."""
    header = (
        "client_id\tpath\tsentence\tup_votes\tdown_votes\tage\tgender\taccents\tlocale\tsegment"
    )
    for split, speakers in (("train", "abcd"), ("dev", "ef"), ("test", "gh")):
        rows = []
        for speaker in speakers:
            for i, word in enumerate(WORDS):
                name = f"common_voice_fr_{ord(speaker)}{i}.wav"
                recording(root / "clips" / name, word, name)
                rows.append(f"{speaker * 12}\t{name}\t{word}\t2\t0\t\t\t\tfr\tSingleword")
        text(root / f"{split}.tsv", "\n".join([header, *rows]) + "\n")
    text(root / "invalidated.tsv", header + "\n")
    text(root / "reported.tsv", "sentence\tsentence_id\tlocale\treason\n")
    return [root]


def audiofolder(root: Path) -> list[Path]:
    """An audio folder of Hugging Face: metadata.csv in each split, names that say nothing."""
    for split, n in (("train", 8), ("test", 4)):
        rows = ["file_name,label"]
        for i in range(n):
            recording(root / f"data/{split}/{i:04d}.wav", WORDS[i % 2], f"{split}{i}")
            rows.append(f"{i:04d}.wav,{WORDS[i % 2]}")
        text(root / f"data/{split}/metadata.csv", "\n".join(rows) + "\n")
    text(root / "README.md", "---\nlicense: cc-by-4.0\n---\n")
    return [root]


def kaggle_speech_commands(root: Path) -> list[Path]:
    """The competition's archive: train/audio with lists, test/audio flat, a sample submission."""
    listed = []
    for word in WORDS:
        for i in range(6):
            name = f"{i:08x}_nohash_0.wav"
            recording(root / "train/audio" / word / name, word, name)
            if i == 0:
                listed.append(f"{word}/{name}")
    recording(root / "train/audio/_background_noise_/running_tap.wav", "tap", 0, n_words=4)
    text(root / "train/validation_list.txt", "\n".join(listed) + "\n")
    text(root / "train/LICENSE", "CC BY 4.0\n")
    rows = ["fname,label"]
    for i in range(4):
        recording(root / f"test/audio/clip_{i:09x}.wav", WORDS[i % 2], f"test{i}")
        rows.append(f"clip_{i:09x}.wav,silence")
    text(root / "sample_submission.csv", "\n".join(rows) + "\n")
    return [root]


def edge_impulse(root: Path) -> list[Path]:
    """An export of Edge Impulse: the label is the beginning of the name."""
    for folder, n in (("training", 6), ("testing", 2)):
        for word in WORDS:
            for i in range(n):
                recording(root / folder / f"{word}.{i}3ab7{folder[:2]}.wav", word, f"{folder}{i}")
    text(root / "info.labels", json.dumps({"version": 1, "files": []}))
    return [root]


def kaldi(root: Path) -> list[Path]:
    """Kaldi's tables, a folder for each split."""
    for split, speakers in (("train", ("s1", "s2", "s3", "s4")), ("test", ("s5", "s6"))):
        scp, texts, speakers_of = "", "", ""
        for speaker in speakers:
            for word in WORDS:
                name = f"{speaker}-{word}"
                recording(root / "wav" / f"{name}.wav", word, name)
                scp += f"{name} {root / 'wav' / name}.wav\n"
                texts += f"{name} {word}\n"
                speakers_of += f"{name} {speaker}\n"
        text(root / f"data/{split}/wav.scp", scp)
        text(root / f"data/{split}/text", texts)
        text(root / f"data/{split}/utt2spk", speakers_of)
    return [root / "data"]


def nemo(root: Path) -> list[Path]:
    """NeMo's manifests, with the paths of the machine that wrote them."""
    manifests = []
    for split, n in (("train", 8), ("validation", 4), ("test", 4)):
        lines = ""
        for i in range(n):
            word = WORDS[i % 2]
            recording(root / f"google_dataset/{word}/{split}{i}.wav", word, f"{split}{i}")
            name = f"/home/ann/google_dataset/{word}/{split}{i}.wav"
            row = {"audio_filepath": name, "duration": 1.0, "command": word}
            lines += json.dumps(row) + "\n"
        manifests.append(root / f"{split}_manifest.json")
        text(manifests[-1], lines)
    return manifests


def audacity(root: Path) -> list[Path]:
    """Recordings with their label tracks beside them, as a French Audacity exports them."""
    for name, words in (("ann", WORDS * 4), ("bob", WORDS * 4), ("eve", WORDS * 4)):
        parts = []
        for i, word in enumerate(words):
            recording(root / "part.wav", word, f"{name}{i}")
            parts.append(soundfile.read(root / "part.wav")[0])
        soundfile.write(root / f"{name}.wav", np.concatenate(parts), RATE)
        times = [f"{i},000000\t{i},500000\t{word}\n" for i, word in enumerate(words)]
        text(root / f"{name}.txt", "".join(times))
    (root / "part.wav").unlink()
    return [root]


def teachable_machine(root: Path) -> list[Path]:
    """A folder for each class, with the names that people type."""
    for label in ("Background Noise", "Bonjour", "Bonne nuit"):
        for i in range(6):
            recording(root / label / f"{i}.wav", label, i)
    text(root / "metadata.json", "{}")
    return [root]


LAYOUTS: dict[str, Callable[[Path], list[Path]]] = {
    "ESC-50": esc50,
    "UrbanSound8K": urbansound8k,
    "Common Voice": common_voice,
    "audiofolder (Hugging Face)": audiofolder,
    "Speech Commands (Kaggle)": kaggle_speech_commands,
    "Edge Impulse": edge_impulse,
    "Kaldi": kaldi,
    "NeMo": nemo,
    "Audacity": audacity,
    "Teachable Machine": teachable_machine,
}
"""By name, in the order of the manual."""
