"""Data sets as others lay them out on disk: the lists in them are found, and read right."""

import json

import pytest
from common import touch

from speechcls.layouts.lists import find_unread_lists
from speechcls.layouts.manifest import (
    find_manifests,
    is_kaldi,
    read_kaldi,
    read_manifests,
)

CV_COLUMNS = ["client_id", "path", "sentence_id", "sentence", "up_votes", "down_votes", "locale"]


def write(root, name, text):
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(text)


def found_in(root):
    return [path.relative_to(root).as_posix() for path in find_manifests(root)]


def facts(dataset):
    """Name, label, speaker and split of each clip."""
    return [(dataset.relative_name(e.path), e.label, e.speaker, e.split) for e in dataset.examples]


def common_voice(words, speaker):
    rows = ["\t".join(CV_COLUMNS)]
    rows += [f"{speaker}\tcv_en_{n}.mp3\tid\t{word}\t2\t0\ten" for n, word in words]
    return "\n".join(rows) + "\n"


def test_esc_50(root):
    touch(root, "audio/1-100032-A-0.wav", "audio/3-1-A-1.wav", "audio/5-2-B-1.wav")
    rows = "1-100032-A-0.wav,1,0,dog,True,100032,A\n3-1-A-1.wav,4,1,rain,True,1,A\n"
    rows += "5-2-B-1.wav,5,1,rain,True,2,B\n"
    header = "filename,fold,target,category,esc10,src_file,take\n"
    write(root, "meta/esc50.csv", header + rows)
    assert found_in(root) == ["meta/esc50.csv"]
    dataset = read_manifests(find_manifests(root))
    assert facts(dataset) == [
        ("audio/1-100032-A-0.wav", "dog", None, "train"),
        ("audio/3-1-A-1.wav", "rain", None, "validation"),
        ("audio/5-2-B-1.wav", "rain", None, "test"),
    ]
    manifest = root / "meta/esc50.csv"
    assert dataset.notes == [
        f"{manifest}: path is filename, label is category, split is fold; not read: target, esc10,"
        " src_file, take",
        f"{manifest}: fold 5 tests, 4 validates, the others train",
        f"{manifest}: its recordings are below {root / 'audio'}",
    ]


def test_urbansound8k(root):
    touch(
        root,
        "audio/fold1/100032-3-0-0.wav",
        "audio/fold2/7061-6-0-0.wav",
        "audio/fold10/9-1-0-0.wav",
    )
    header = "slice_file_name,fsID,start,end,salience,fold,classID,class\n"
    rows = "100032-3-0-0.wav,100032,0.0,0.317551,1,1,3,dog_bark\n"
    rows += "7061-6-0-0.wav,7061,55.5,59.5,1,2,6,gun_shot\n9-1-0-0.wav,9,3,7,1,10,1,car_horn\n"
    write(root, "metadata/UrbanSound8K.csv", header + rows)
    assert found_in(root) == ["metadata/UrbanSound8K.csv"]
    dataset = read_manifests(find_manifests(root))
    assert facts(dataset) == [
        ("audio/fold1/100032-3-0-0.wav", "dog_bark", None, "train"),
        ("audio/fold2/7061-6-0-0.wav", "gun_shot", None, "validation"),
        ("audio/fold10/9-1-0-0.wav", "car_horn", None, "test"),
    ]
    # The times are those in the recording that slices were cut from.
    assert {(e.start_s, e.end_s) for e in dataset.examples} == {(0.0, None)}
    assert "not read: fsID, start, end, salience, classID" in dataset.notes[0]


def test_common_voice(root):
    touch(root, *(f"clips/cv_en_{n}.mp3" for n in range(4)))
    write(root, "train.tsv", common_voice([(0, "yes"), (1, "no")], "ann"))
    write(root, "dev.tsv", common_voice([(2, "Firefox")], "bob"))
    write(root, "test.tsv", common_voice([(3, "hey")], "eve"))
    everything = common_voice([(0, "yes"), (1, "no"), (2, "Firefox"), (3, "hey")], "ann")
    for name in ("validated.tsv", "invalidated.tsv", "other.tsv"):
        write(root, name, everything)
    write(root, "clip_durations.tsv", "clip\tduration[ms]\ncv_en_0.mp3\t1200\n")
    assert found_in(root) == ["dev.tsv", "test.tsv", "train.tsv"]
    assert sorted(facts(read_manifests(find_manifests(root)))) == [
        ("clips/cv_en_0.mp3", "yes", "ann", "train"),
        ("clips/cv_en_1.mp3", "no", "ann", "train"),
        ("clips/cv_en_2.mp3", "Firefox", "bob", "validation"),
        ("clips/cv_en_3.mp3", "hey", "eve", "test"),
    ]
    for name in ("train.tsv", "dev.tsv", "test.tsv"):
        (root / name).unlink()
    assert found_in(root) == ["validated.tsv"]
    assert {split for *_, split in facts(read_manifests([root / "validated.tsv"]))} == {None}


def test_multilingual_spoken_words(root):
    touch(root, "clips/yes/cv_1.opus", "clips/no/cv_2.opus")
    write(
        root,
        "en_splits.csv",
        "SET,LINK,WORD,VALID,SPEAKER,GENDER\nTRAIN,yes/cv_1.opus,yes,True,ann,NA\n"
        "DEV,no/cv_2.opus,no,True,bob,NA\n",
    )
    assert facts(read_manifests(find_manifests(root))) == [
        ("clips/yes/cv_1.opus", "yes", "ann", "train"),
        ("clips/no/cv_2.opus", "no", "bob", "validation"),
    ]


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_hugging_face_audiofolder(ending, root):
    rows = [{"file_name": "a.wav", "label": "yes"}, {"file_name": "sub/b.wav", "label": "no"}]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    if ending == "csv":
        text = "file_name,label\na.wav,yes\nsub/b.wav,no\n"
    touch(root, "a.wav", "sub/b.wav")
    write(root, f"metadata.{ending}", text)
    assert found_in(root) == [f"metadata.{ending}"]
    read = facts(read_manifests(find_manifests(root)))
    assert read == [("a.wav", "yes", None, None), ("sub/b.wav", "no", None, None)]


def test_hugging_face_audiofolder_in_split_folders(root):
    for split in ("train", "test"):
        touch(root, f"{split}/{split}_1.wav")
        write(root, f"{split}/metadata.csv", f"file_name,label\n{split}_1.wav,yes\n")
    assert found_in(root) == ["test/metadata.csv", "train/metadata.csv"]
    assert facts(read_manifests(find_manifests(root))) == [
        ("test/test_1.wav", "yes", None, "test"),
        ("train/train_1.wav", "yes", None, "train"),
    ]


@pytest.mark.parametrize("ending", ["json", "jsonl"])
def test_nemo(ending, root):
    for split, word in (("train", "yes"), ("validation", "no"), ("test", "yes")):
        touch(root, f"{word}/{split}.wav")
        row = {"audio_filepath": f"/raid/data/{word}/{split}.wav", "duration": 1.0, "command": word}
        write(root, f"{split}_manifest.{ending}", json.dumps(row) + "\n")
    assert found_in(root) == [
        f"{split}_manifest.{ending}" for split in ("test", "train", "validation")
    ]
    assert facts(read_manifests(find_manifests(root))) == [
        ("yes/test.wav", "yes", None, "test"),
        ("yes/train.wav", "yes", None, "train"),
        ("no/validation.wav", "no", None, "validation"),
    ]


def test_kaggle_with_a_list_of_training_clips_and_a_sample_of_answers(root):
    touch(root, "audio_train/00044347.wav", "audio_train/001ca53d.wav", "audio_test/00063640.wav")
    rows = "00044347.wav,Hi-hat,0\n001ca53d.wav,Saxophone,1\n"
    write(root, "train.csv", "fname,label,manually_verified\n" + rows)
    write(root, "sample_submission.csv", "fname,label\n00063640.wav,Laughter Hi-Hat\n")
    assert found_in(root) == ["train.csv"]
    assert facts(read_manifests(find_manifests(root))) == [
        ("audio_train/00044347.wav", "Hi-hat", None, None),
        ("audio_train/001ca53d.wav", "Saxophone", None, None),
    ]


def test_lists_of_something_else_are_none(root, tmp_path):
    touch(root, "yes/1.wav", ".hidden.csv")
    touch(tmp_path, "elsewhere/2.wav")
    write(root, "scores.csv", "epoch,accuracy\n1,0.5\n")
    write(root, "results.json", '{"accuracy": 0.5}')
    write(root, "gone.csv", "path,label\nyes/9.wav,yes\n")
    write(root, "other.jsonl", '{"path": "../elsewhere/2.wav", "label": "no"}\n')
    write(root, "outside.csv", "path,label\n../elsewhere/2.wav,no\n")
    write(root, "README.txt", "path,label\nyes/1.wav,yes\n")
    write(root, "broken.csv", "path,label\nyes/1.wav,yes,maybe\n")
    assert found_in(root) == []


# Kaldi


def kaldi(root, folder, segments=None, text="u1 YES\nu2 NO\n"):
    touch(root, "wav/1.wav", "wav/2.wav")
    write(root, f"{folder}/wav.scp", "u1 wav/1.wav\nu2 cat wav/2.wav |\n")
    write(root, f"{folder}/text", text)
    write(root, f"{folder}/utt2spk", "u1 ann\nu2 bob\n")


def test_a_kaldi_folder(root):
    kaldi(root, "data/train")
    assert is_kaldi(root / "data/train")
    dataset = read_kaldi(root / "data/train")
    assert facts(dataset) == [("wav/1.wav", "YES", "ann", None), ("wav/2.wav", "NO", "bob", None)]
    assert dataset.problems == []


def test_kaldi_folders_of_splits(root):
    for name in ("train_clean", "dev93", "test_eval92"):
        kaldi(root, f"data/{name}")
    assert is_kaldi(root / "data") and not is_kaldi(root)
    splits = [e.split for e in read_kaldi(root / "data").examples]
    assert splits == ["validation"] * 2 + ["test"] * 2 + ["train"] * 2


def test_kaldi_segments(root):
    touch(root, "long.wav")
    write(root, "k/wav.scp", "rec flac -c -d -s long.wav |\n")
    write(root, "k/segments", "u1 rec 0.5 1.25\nu2 rec 2.0 -1\n")
    write(root, "k/text", "u1 yes\nu2 turn on\nu3 no\n")
    dataset = read_kaldi(root / "k")
    assert [(e.label, e.start_s, e.end_s) for e in dataset.examples] == [
        ("yes", 0.5, 1.25),
        ("turn on", 2.0, None),
    ]
    assert dataset.problems == [
        f"{root / 'k/text'}:3: u3: no such recording in wav.scp or segments"
    ]


def test_commands_of_kaldi_are_not_run(root):
    touch(root, "wav/1.wav")
    command = "touch ran; sox x.sph -t wav - |"
    write(root, "k/wav.scp", f"u1 wav/1.wav\nu2 {command}\nu3 raw.ark:17\nu4 x.wav\n")
    write(root, "k/text", "u1 yes\nu2 no\nu3 no\nu5 no\nu6\n")
    dataset = read_kaldi(root / "k")
    assert facts(dataset) == [("wav/1.wav", "yes", None, None)]
    fault = "not a file but a command or a part of an archive, which is not run"
    assert dataset.problems == [
        f"{root / 'k/wav.scp'}:2: {fault} ({command}); write it to a file and name that",
        f"{root / 'k/wav.scp'}:3: {fault} (raw.ark:17); write it to a file and name that",
        f"{root / 'k/text'}:4: u5: no such recording in wav.scp or segments",
        f"{root / 'k/text'}:5: u6: no text",
        f"{root / 'k/wav.scp'}:4: no line for u4 in text",
    ]


@pytest.mark.parametrize(
    ("name", "content", "fact"),
    [
        (
            "text",
            "u1 the cat sat\n",
            "text:1: 'the cat sat' is a sentence, not a label of one word",
        ),
        ("segments", "u1 rec 0.5\n", "segments:1: 'rec 0.5' is not a recording, its start and its"),
        ("segments", "u1 u1 0.5 soon\n", "text:1: end 'soon' is not a number of seconds"),
        ("text", None, "text: no such file or directory; Kaldi's lists name each clip"),
    ],
)
def test_faults_of_kaldi_lists_name_the_line(name, content, fact, root):
    kaldi(root, "k", text="u1 YES\n")
    if content is None:
        (root / "k" / name).unlink()
    else:
        write(root, f"k/{name}", content)
    with pytest.raises(Exception, match=fact.replace("(", r"\(")):
        read_kaldi(root / "k")


@pytest.mark.parametrize(
    ("header", "fault"),
    [
        (
            "archivo;etiqueta",
            "no column of file names and none of labels; it has archivo, etiqueta; name them as"
            " path=NAME,label=NAME",
        ),
        (
            "audio/9.wav;no",
            "no column of file names and none of labels; it has audio/9.wav, no; its first line is"
            " a recording: put a line above it that names the columns: path,label",
        ),
    ],
)
def test_lists_of_unknown_columns_are_told_and_read_by_name(header, fault, root):
    touch(root, "audio/1.wav")
    write(root, "meta/m.csv", f"{header}\naudio/1.wav;yes\n")
    write(root, "scores.csv", "name,score\nann,1\n")
    assert find_manifests(root) == []
    assert find_unread_lists(root) == [
        f"{root / 'meta/m.csv'}:1: names recordings but is not read: {fault}"
    ]
    path, label = header.split(";")
    columns = {"path": path, "label": label}
    assert find_manifests(root, columns) == [root / "meta/m.csv"]
    assert facts(read_manifests([root / "meta/m.csv"], columns)) == [
        ("audio/1.wav", "yes", None, None)
    ]


def test_lists_that_are_read_are_not_told(root):
    touch(root, "1.wav")
    write(root, "m.csv", "path,label\n1.wav,yes\n")
    assert find_unread_lists(root) == []
