"""Thresholds that are kept in a model: what is written, who uses them, and what is refused."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import soundfile
from common_serve import MODELS, messages_until_closed, post, request, stream
from common_studio import RATE, say, studio
from pytest import approx

from speechcls import StreamingClassifier
from speechcls.artifact.calibration import Calibration, load_calibration, save_calibration
from speechcls.artifact.manifest import MANIFEST
from speechcls.artifact.store import load_artifact
from speechcls.runtime.detection import choose_thresholds
from speechcls.studio.thresholds import with_thresholds

CALIBRATION = Calibration(
    thresholds={"yes": 0.6, "no": 0.6},
    fa_per_hour=0.5,
    hours=0.5,
    false_alarms=0,
    upper_fa_per_hour=5.99,
    temperature=1.5,
    n_clips=20,
    ece_before=0.2,
    ece_after=0.1,
    alarms={"yes": [0.55, 0.5, 0.4], "no": [0.5, 0.2]},
    hits={"yes": [0.9], "no": [0.8]},
)


def copied(folder, alarms=(0.9, 0.5, 0.3)):
    """Copy a model to where the page may change it, as if its calibration had found alarms."""
    place = folder / "models" / "mine"
    shutil.copytree(MODELS / "commands-tiny", place)
    artifact = load_artifact(place)
    found = load_calibration(artifact)
    known = {label: [*alarms] for label in found.thresholds} if alarms else {}
    save_calibration(artifact, replace(found, alarms=known))
    return place


@pytest.fixture
def served(tmp_path):
    """A server with a page, and a model of its own beside one that came with the program."""
    place = copied(tmp_path)
    with studio(tmp_path / "words", names=("commands-tiny", place)) as server:
        yield server


def keep(port, thresholds, model="mine"):
    body = json.dumps(thresholds).encode()
    return post(port, f"/studio/thresholds?model={model}", body, "application/json")


def own_thresholds(port, name="mine"):
    models = request(port, "GET", "/studio/models").json["models"]
    return next(model for model in models if model["name"] == name)["thresholds"]


def test_false_alarms_are_those_from_the_thresholds_on_word_by_word():
    kept = with_thresholds(CALIBRATION, {"yes": 0.5, "no": 0.3})
    # "yes": 0.55 and 0.5; "no": 0.5; 3 in half an hour, at most 7.75366 of a Poisson mean.
    assert (kept.thresholds, kept.false_alarms) == ({"yes": 0.5, "no": 0.3}, 3)
    assert kept.fa_per_hour == 6.0
    assert kept.upper_fa_per_hour == approx(2 * 7.75366, rel=1e-5)
    same = {"thresholds", "false_alarms", "fa_per_hour", "upper_fa_per_hour"}
    before, after = CALIBRATION.to_dict(), kept.to_dict()
    assert {name for name in before if before[name] != after[name]} == same


def test_what_is_kept_is_used_by_the_server_and_by_all_that_load_the_model(served, tmp_path):
    place = tmp_path / "models" / "mine"
    wanted = {label: 0.3 + 0.05 * i for i, label in enumerate(own_thresholds(served.port))}
    reply = keep(served.port, wanted)
    assert (reply.status, reply.json["thresholds"]) == (200, wanted)
    assert reply.json["calibration"]["thresholds"] == wanted
    assert own_thresholds(served.port) == wanted
    artifact = load_artifact(place)  # which checks the SHA-256 of each file
    assert (place / MANIFEST).is_file() and choose_thresholds(artifact) == wanted
    found = load_calibration(artifact)
    # 0.9 is above each, 0.5 above or at those of the first five words, 0.3 at that of the first.
    assert found.false_alarms == 8 + 5 + 1
    assert (
        found.temperature == load_calibration(load_artifact(MODELS / "commands-tiny")).temperature
    )
    listed = request(served.port, "GET", "/v1/models").json["models"]
    assert {model["name"]: model["thresholds"] for model in listed}["mine"] == wanted
    assert served.logged == []


def test_a_word_that_the_kept_threshold_lets_through_is_detected(served):
    sound = (0.1 * np.random.default_rng(0).standard_normal(3 * RATE)).astype(np.float32)
    heard = StreamingClassifier.load(MODELS / "commands-tiny", threshold=0.02)
    lowest = [*heard.feed(sound), *heard.finish()]
    assert lowest, "the sound has to be taken for a word at some threshold"
    labels = own_thresholds(served.port)

    def detected():
        body = (32_767 * sound).astype("<i2").tobytes()
        return post(served.port, "/v1/detect?model=mine", body, f"audio/pcm;rate={RATE}").lines

    assert keep(served.port, dict.fromkeys(labels, 1.0)).status == 200
    assert detected() == []
    assert keep(served.port, dict.fromkeys(labels, 0.02)).status == 200
    assert [event["label"] for event in detected()] == [event.label for event in lowest]


def test_the_default_model_is_served_with_what_was_kept(tmp_path):
    place = copied(tmp_path)
    with studio(tmp_path / "words", names=(place,)) as server:
        wanted = dict.fromkeys(own_thresholds(server.port), 0.02)
        assert keep(server.port, wanted).status == 200
        with stream(server.port, f"rate={RATE}&encoding=s16le") as socket:
            noise = np.random.default_rng(0).normal(0.0, 3_000, 3 * RATE).astype("<i2")
            socket.send(noise.tobytes())
            socket.send('{"type": "end"}')
            events, code = messages_until_closed(socket)
    assert code == 1000 and events


@pytest.mark.parametrize(
    "value", [0, -0.1, 1.01, None, True, "0.5", [0.5], {}, 10**400, float("nan"), float("inf")]
)
def test_what_is_no_threshold_is_refused_and_nothing_is_written(served, tmp_path, value):
    place = tmp_path / "models" / "mine"
    before = {path.name: path.read_bytes() for path in place.iterdir()}
    labels = own_thresholds(served.port)
    for wanted in (
        {**labels, next(iter(labels)): value},
        {**labels, "other": 0.5},
        dict([*labels.items()][1:]),
    ):
        reply = keep(served.port, wanted)
        assert (reply.status, reply.json["error"][:16]) == (400, "thresholds: must")
    assert {path.name: path.read_bytes() for path in place.iterdir()} == before


def test_a_model_that_came_with_the_program_is_not_changed(served):
    before = (MODELS / "commands-tiny" / "calibration.json").read_bytes()
    reply = keep(served.port, own_thresholds(served.port, "commands-tiny"), "commands-tiny")
    assert (reply.status, reply.json["error"]) == (
        422,
        "model commands-tiny: it comes with speechcls; train one of your own",
    )
    assert (MODELS / "commands-tiny" / "calibration.json").read_bytes() == before


def test_a_model_that_lies_elsewhere_is_not_changed(tmp_path):
    place = copied(tmp_path / "elsewhere")
    with studio(tmp_path / "words", names=(place,)) as server:
        reply = keep(server.port, own_thresholds(server.port))
        assert reply.status == 422 and reply.json["error"].endswith("and it lies elsewhere")
        assert str(tmp_path) not in reply.text


@pytest.mark.parametrize("is_calibrated", [False, True])
def test_where_false_alarms_are_not_known_nothing_is_kept(tmp_path, is_calibrated):
    place = copied(tmp_path, alarms=None)
    if not is_calibrated:
        (place / "calibration.json").unlink()
        manifest = json.loads((place / MANIFEST).read_text())
        del manifest["sha256"]["calibration.json"]
        (place / MANIFEST).write_text(json.dumps(manifest))
    with studio(tmp_path / "words", names=(place,)) as server:
        reply = keep(server.port, own_thresholds(server.port))
        assert (reply.status, reply.json["error"]) == (
            422,
            "model mine: what they cost is not known; train it again, or calibrate it in a"
            " terminal",
        )


def test_a_model_that_is_gone_is_said_and_logged(served, tmp_path):
    thresholds = own_thresholds(served.port)
    shutil.rmtree(tmp_path / "models" / "mine")
    reply = keep(served.port, thresholds)
    assert reply.status == 422 and reply.json["error"].startswith("model mine: cannot be written")
    assert str(tmp_path) not in reply.text
    assert len(served.logged) == 1 and served.logged[0].startswith("thresholds: ")


def test_a_take_is_recorded_while_thresholds_are_kept(served, tmp_path):
    """The page of a class: what one does holds up nobody else."""
    post(served.port, "/studio/words?word=yes", b"")
    assert keep(served.port, own_thresholds(served.port)).status == 200
    soundfile.write(tmp_path / "a.wav", say(0.2, 0.4), RATE)
    query = "word=yes&speaker=ann&name=a.wav"
    body = (tmp_path / "a.wav").read_bytes()
    assert post(served.port, f"/studio/import?{query}", body, "audio/wav").json["written"]
