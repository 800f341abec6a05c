"""The routes of the page: what they do, and what they refuse."""

import io
import json
import time
from urllib.parse import quote

import numpy as np
import pytest
import soundfile
from common_serve import MODELS, form, post, request
from common_studio import RATE, say, studio
from hostile_names import HIGH, LONG

from speechcls.audio.samples import to_pcm
from speechcls.audio.wav import wav_bytes

TOKEN = "a-token-of-the-tests"
ELSEWHERE = "https://elsewhere.example"
PCM = f"audio/pcm;rate={RATE}"


@pytest.fixture
def served(tmp_path):
    """A server with a page of the folder ``words``."""
    with studio(tmp_path / "words") as server:
        yield server
        assert server.logged == []


def pcm(samples):
    return to_pcm(samples).tobytes()


def record(port, word, samples, speaker="ann", after_s=0.9):
    query = f"word={quote(word)}&speaker={quote(speaker)}&after_s={after_s}"
    return post(port, f"/studio/takes?{query}", pcm(samples), PCM)


def words_of(reply):
    return {each["word"]: [take["name"] for take in each["takes"]] for each in reply.json["words"]}


def training(port, until, seconds=60):
    """Return the training once it is in one of some states or stages."""
    for _ in range(20 * seconds):
        state = request(port, "GET", "/studio/training").json
        if {state["state"], state.get("stage")} & until:
            return state
        time.sleep(0.05)
    raise AssertionError(state)


def test_words_are_added_recorded_deleted_and_brought_back(served, tmp_path):
    assert words_of(post(served.port, "/studio/words?word=yes", b"")) == {"yes": []}
    reply = record(served.port, "yes", say(1.0, 0.4))
    assert [take["name"] for take in reply.json["written"]] == ["ann_nohash_0.wav"]
    info = soundfile.info(tmp_path / "words" / "yes" / "ann_nohash_0.wav")
    assert (info.samplerate, info.frames, info.subtype) == (RATE, RATE, "PCM_16")
    reply = request(served.port, "GET", "/studio/project")
    assert words_of(reply) == {"yes": ["ann_nohash_0.wav"]}
    assert reply.json["words"][0]["takes"][0]["speaker"] == "ann"
    query = "word=yes&take=ann_nohash_0.wav"
    assert words_of(post(served.port, f"/studio/takes/delete?{query}", b"")) == {"yes": []}
    assert post(served.port, f"/studio/takes/delete?{query}", b"").status == 422
    reply = post(served.port, "/studio/undo", b"")
    assert (reply.json["said"], words_of(reply)) == ("yes", {"yes": ["ann_nohash_0.wav"]})
    reply = post(served.port, "/studio/words/remove?word=yes", b"")
    assert (words_of(reply), reply.json["undo"]) == ({}, {"word": "yes", "takes": 1})


def test_a_take_that_is_no_good_is_not_kept(served):
    post(served.port, "/studio/words?word=yes", b"")
    reply = record(served.port, "yes", say(2.0))
    assert (reply.status, reply.json["written"]) == (200, [])
    assert reply.json["rejected"] == ["no word was found; say it louder, or come nearer"]


def test_files_are_imported_with_the_speaker_in_their_names(served):
    post(served.port, "/studio/words?word=yes", b"")

    def upload(name, content):
        query = f"word=yes&speaker=ann&name={quote(name)}"
        return post(served.port, f"/studio/import?{query}", content, "application/octet-stream")

    flac = io.BytesIO()
    soundfile.write(flac, say(0.3, 0.4), RATE, format="FLAC")
    written = [
        upload(name, flac.getvalue()).json["written"]
        for name in ("bob_nohash_7.flac", "x.flac", "../../up_nohash_1.flac", "a/b_nohash_1.flac")
    ]
    assert [take["name"] for [take] in written] == [
        *("bob_nohash_0.wav", "ann_nohash_0.wav", "up_nohash_0.wav", "b_nohash_0.wav")
    ]
    reply = upload("notes.txt", b"no recording at all")
    assert (reply.status, reply.json["written"]) == (200, [])
    assert reply.json["rejected"][0].startswith("notes.txt: text, not a recording")


def test_a_take_is_played_as_wav(served, tmp_path):
    post(served.port, "/studio/words?word=yes", b"")
    sound = say(0.2, 0.3)
    soundfile.write(tmp_path / "words" / "yes" / "mine.ogg", sound, RATE)
    connection = f"/studio/take?word=yes&take={quote('mine.ogg')}"
    import urllib.request

    with urllib.request.urlopen(f"{served.url}{connection}") as reply:
        assert reply.headers["content-type"] == "audio/wav"
        samples, rate = soundfile.read(io.BytesIO(reply.read()), dtype="float32")
    assert rate == RATE
    assert np.corrcoef(samples[: len(sound)], sound[: len(samples)])[0, 1] > 0.9


@pytest.mark.parametrize("name", ["../secret.wav", "/etc/passwd", "..%2Fsecret.wav", HIGH, ""])
def test_no_name_leads_out_of_the_project(served, tmp_path, name):
    (tmp_path / "secret.wav").write_bytes(wav_bytes(to_pcm(say(1.0)), RATE))
    post(served.port, "/studio/words?word=yes", b"")
    given = quote(name, safe="")
    for query in (
        f"word=yes&take={given}",
        f"word={given}&take=secret.wav",
        "word=..&take=secret.wav",
    ):
        for method, route in (("GET", "take"), ("POST", "takes/delete")):
            reply = request(served.port, method, f"/studio/{route}?{query}")
            assert reply.status == 422
            assert str(tmp_path) not in reply.text
    assert post(served.port, f"/studio/words/remove?word={given}", b"").status == 422
    assert record(served.port, name, say(1.0, 0.4)).status == 422
    assert (tmp_path / "secret.wav").is_file()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["secret.wav", "words"]


@pytest.mark.parametrize("name", [HIGH, LONG, "../up", "test", "_silence_", "a\0b"])
def test_hostile_words_and_speakers_are_refused(served, tmp_path, name):
    given = quote(name, safe="")
    reply = post(served.port, f"/studio/words?word={given}", b"")
    assert reply.status == 422 and reply.json["error"].startswith("word: ")
    assert reply.text.isascii()
    post(served.port, "/studio/words?word=yes", b"")
    if name not in ("test", "_silence_"):  # which may be people
        assert record(served.port, "yes", say(1.0, 0.4), speaker=name).status in (400, 422)
    assert words_of(request(served.port, "GET", "/studio/project"))["yes"] in (
        [],
        [f"{name}_nohash_0.wav"],
    )


ROUTES = [
    *(
        "words?word=up",
        "words/remove?word=yes",
        "takes?word=yes&speaker=a&after_s=0",
        "undo",
        "check",
    ),
    *("import?word=yes&speaker=a&name=a.wav", "takes/delete?word=yes&take=a.wav", "training"),
    *("training/stop", "report?model=commands-tiny", "explain?model=commands-tiny"),
    "thresholds?model=commands-tiny",
]


@pytest.mark.parametrize("route", ROUTES)
def test_pages_elsewhere_can_change_nothing(tmp_path, route):
    with studio(tmp_path / "words", origins=[ELSEWHERE]) as server:
        (tmp_path / "words" / "yes").mkdir()
        for headers in (
            {"origin": ELSEWHERE},  # which may predict
            {"origin": "https://other.example"},
            {"origin": "null"},
            {"origin": f"http://127.0.0.1:{server.port + 1}"},
            {"sec-fetch-site": "cross-site"},
            {"sec-fetch-site": "same-site"},
            {"host": "evil.example"},  # a name that leads here
        ):
            reply = request(server.port, "POST", f"/studio/{route}", b"{}", headers)
            assert reply.status == 403, (headers, reply.text)
        reply = request(
            server.port, "GET", "/studio/project", None, {"sec-fetch-site": "cross-site"}
        )
        assert reply.status == 403
        own = {"origin": server.url, "sec-fetch-site": "same-origin"}
        reply = request(server.port, "GET", "/studio/project", None, own)
        assert words_of(reply) == {"yes": []}
        assert request(server.port, "GET", "/studio/training").json == {"state": "none"}


def test_with_a_token_the_page_itself_is_open_and_nothing_else(tmp_path):
    with studio(tmp_path / "words", token=TOKEN) as server:
        for path in ("/", "/page/app.js", "/page/base.css"):
            assert request(server.port, "GET", path).status == 200
        assert request(server.port, "GET", "/studio/page?key=x").status == 404
        for route in ROUTES:
            assert post(server.port, f"/studio/{route}", b"").status == 401
        for path in ("/studio/project", "/studio/training", "/studio/models", "/studio/take"):
            assert request(server.port, "GET", path).status == 401
        known = {"authorization": f"Bearer {TOKEN}"}
        assert request(server.port, "GET", "/studio/project", None, known).status == 200


def test_without_a_folder_there_is_no_page_and_nothing_is_written(tmp_path, monkeypatch):
    from common_serve import serving

    monkeypatch.chdir(tmp_path)
    with serving(names=("commands-tiny",)) as server:
        reply = request(server.port, "GET", "/")
        assert reply.headers["content-type"].startswith("text/plain")
        assert "start the server with a folder" in reply.text and "/v1/predict" in reply.text
        for route in ROUTES:
            assert post(server.port, f"/studio/{route}", b"").status == 404
        assert request(server.port, "GET", "/page/app.js").status == 404
    assert list(tmp_path.iterdir()) == []


def test_the_page_loads_its_own_files_alone(served):
    reply = request(served.port, "GET", "/")
    policy = reply.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
    assert "unsafe" not in policy and "http" not in policy
    assert "<script>" not in reply.text and " style=" not in reply.text
    names = [part.split('"')[0] for part in reply.text.split('"/page/')[1:]]
    assert "app.js" in names and "base.css" in names
    for name in names:
        assert request(served.port, "GET", f"/page/{name}").status == 200
    assert "--link:" in request(served.port, "GET", "/page/base.css").text
    for path in ("/page/", "/page/../worker.py", "/page/%2e%2e/worker.py", "/page/__init__.py"):
        assert request(served.port, "GET", path).status == 404


def test_bodies_have_the_limits_of_the_server(tmp_path):
    with studio(tmp_path / "words", body_mb=0.1, clip_s=1.0) as server:
        post(server.port, "/studio/words?word=yes", b"")
        for route in ("takes?word=yes&speaker=a&after_s=0", "import?word=yes&speaker=a&name=a.wav"):
            reply = post(server.port, f"/studio/{route}", bytes(200_000), PCM)
            assert (reply.status, reply.json["error"][:24]) == (413, "body: larger than 0.1 MB")
        reply = post(server.port, "/studio/training", b" " * 200_000, "application/json")
        assert reply.status == 413
        reply = post(server.port, "/studio/explain?model=commands-tiny", pcm(say(1.2)), PCM)
        assert (reply.status, reply.json["error"][:25]) == (422, "body: lasts more than 1 s")
        body, kind = form(("a.wav", b"x", None), ("b.wav", b"x", None))
        assert post(server.port, "/studio/explain?model=commands-tiny", body, kind).status == 413


@pytest.mark.parametrize(
    ("route", "body", "status", "error"),
    [
        ("words", b"", 400, "parameters: none; name word, each once"),
        ("words?word=a&word=b", b"", 400, "parameters: word, word; name word, each once"),
        ("words?word=a&x=b", b"", 400, "parameters: word, x; name word, each once"),
        ("takes?word=yes&speaker=a&after_s=nan", b"", 400, "after_s: nan is not possible"),
        ("takes?word=yes&speaker=a&after_s=-1", b"", 400, "after_s: -1 is not possible"),
        ("takes?word=yes&speaker=a&after_s=0", b"text of no sound", 422, "body: text, not a"),
        ("takes?word=yes&speaker=a&after_s=0", b"", 400, "body: is empty (0 bytes)"),
        ("training", b"[]", 400, "body: no object of JSON"),
        ("training", b"[" * 100_000, 400, "body: no object of JSON"),
        ("training", b'{"length": "x"}', 400, "length: must be one of quick, standard, long"),
        ("training", b'{"length": ["quick"]}', 400, "length: must be one of"),
        ("training", b'{"length": "quick", "out": "/tmp/x"}', 400, "length: must be one of"),
        ("thresholds?model=nope", b"{}", 404, "model nope: not served here"),
        ("thresholds?model=commands-tiny", b"[]", 400, "body: no object of JSON"),
        ("thresholds?model=commands-tiny", b"{}", 400, "thresholds: must be above 0 and at most 1"),
        ("report?model=nope", b"", 404, "model nope: not served here"),
        ("explain?model=../commands", b"", 404, "model ../commands: not served here"),
        ("explain?model=commands-tiny", b"text of no sound", 422, "body: text, not a recordi"),
    ],
)
def test_what_cannot_be_is_refused(served, route, body, status, error):
    post(served.port, "/studio/words?word=yes", b"")
    reply = post(served.port, f"/studio/{route}", body)
    assert (reply.status, reply.json["error"][: len(error)]) == (status, error)


def test_a_check_says_what_is_wrong(served, tmp_path):
    for word, pitch_hz in (("yes", 300.0), ("no", 900.0)):
        post(served.port, f"/studio/words?word={word}", b"")
        for word_s in (0.3, 0.35, 0.4):
            record(served.port, word, say(1.0, word_s, pitch_hz=pitch_hz))
    silent = tmp_path / "words" / "no" / "bob_nohash_0.wav"
    soundfile.write(silent, np.zeros(RATE), RATE)
    reply = post(served.port, "/studio/check", b"")
    found = [(each["kind"], each["path"]) for each in reply.json["findings"]]
    assert ("silent", "no/bob_nohash_0.wav") in found
    assert reply.json["kinds"]["silent"] == {"text": "no audible sound", "effect": "bad"}
    assert any(text.startswith("fewer than 10 good clips") for text in reply.json["notes"])


def test_a_training_that_cannot_be_says_why(served):
    post(served.port, "/studio/words?word=yes", b"")
    record(served.port, "yes", say(1.0, 0.4))
    assert post(served.port, "/studio/training", b'{"length": "quick"}').status == 200
    state = training(served.port, {"failed", "done", "stopped"})
    assert state["state"] == "failed"
    assert state["error"] == (
        "1 clip is too few to hold some back for validation; record more: twenty of each word"
        " make a first recogniser"
    )
    reply = post(served.port, "/studio/check", b"")
    assert reply.status == 200 and reply.json["spoiled_by"]


def test_one_training_at_a_time_which_can_be_stopped(served, tmp_path):
    for word, pitch_hz in (("yes", 300.0), ("no", 900.0)):
        post(served.port, f"/studio/words?word={word}", b"")
        for word_s in (0.3, 0.35, 0.4, 0.45):
            record(served.port, word, say(1.0, word_s, pitch_hz=pitch_hz))
    assert post(served.port, "/studio/training", b'{"length": "long"}').json["state"] == "running"
    reply = post(served.port, "/studio/training", b'{"length": "quick"}')
    assert (reply.status, reply.json["error"][:23]) == (409, "training: one is runnin")
    assert request(served.port, "GET", "/studio/training").json["model"] == "words-1"
    assert request(served.port, "GET", "/health").status == 200
    assert training(served.port, {"training", "failed"})["stage"] == "training"
    reply = post(served.port, "/studio/training/stop", b"")
    assert reply.json["stage"] == "stopping"
    state = training(served.port, {"failed", "done", "stopped"})
    assert state["state"] == "stopped"
    models = tmp_path / "models"
    assert not models.exists() or list(models.iterdir()) == []
    assert post(served.port, "/studio/training/stop", b"").json["state"] == "stopped"


def test_a_server_that_is_stopped_ends_its_training(tmp_path):
    with studio(tmp_path / "words") as server:
        for word, pitch_hz in (("yes", 300.0), ("no", 900.0)):
            post(server.port, f"/studio/words?word={word}", b"")
            for word_s in (0.3, 0.35, 0.4, 0.45):
                record(server.port, word, say(1.0, word_s, pitch_hz=pitch_hz))
        post(server.port, "/studio/training", b'{"length": "long"}')
        process = server._extra._training._job._process
    assert process.poll() is not None


def test_a_report_may_do_nothing_in_the_name_of_the_page(served):
    reply = post(served.port, "/studio/explain?model=commands-tiny", pcm(say(0.3, 0.4)), PCM)
    assert reply.status == 200
    page = request(served.port, "GET", f"/studio/page?key={reply.json['page']}")
    assert "<title>The last word: " in page.text
    policy = page.headers["content-security-policy"]
    assert policy.startswith("sandbox allow-scripts allow-downloads; default-src 'none'; ")
    assert "allow-same-origin" not in policy
    assert len(reply.json["page"]) >= 32
    for key in ("", "x", reply.json["page"][:-1]):
        assert request(served.port, "GET", f"/studio/page?key={key}").status == 404


def test_a_report_of_a_model_that_came_with_the_program_names_no_path(served):
    """``fuzz_serve`` found it."""
    for word, pitch_hz in (("yes", 300.0), ("no", 900.0)):
        post(served.port, f"/studio/words?word={word}", b"")
        record(served.port, word, say(1.0, 0.4, pitch_hz=pitch_hz))
    reply = post(served.port, "/studio/report?model=commands-tiny", b"")
    page = request(served.port, "GET", f"/studio/page?key={reply.json['page']}")
    assert "-m commands-tiny" in page.text
    assert str(MODELS.parent) not in page.text


def test_the_models_are_told_with_what_thresholds_cost(served):
    found = request(served.port, "GET", "/studio/models").json
    [model] = found["models"]
    assert (model["name"], found["trained"]) == ("commands-tiny", [])
    assert model["calibration"]["thresholds"].keys() == model["thresholds"].keys()
    assert json.dumps(found).isascii()
