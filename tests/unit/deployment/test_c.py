"""C code of causal networks: compiled, run, and compared with the model's own stream."""

import shutil
import subprocess

import numpy as np
import pytest
from common_streams import LABELS, save_causal_model

from speechcls.artifact.store import load_artifact
from speechcls.audio.samples import to_float
from speechcls.deployment.bundle import Request, facts_of
from speechcls.deployment.c_code import c_files
from speechcls.deployment.c_network import check_has_c
from speechcls.deployment.c_program import (
    c_bundle,
    compile_program,
    find_compiler,
    peak_steps,
    run_program,
)
from speechcls.deployment.check import made_clips, model_answers, model_stream
from speechcls.errors import ExportError
from speechcls.runtime.classifier import Classifier
from speechcls.runtime.session import temperature_of
from speechcls.runtime.streaming import StreamingClassifier

pytestmark = pytest.mark.skipif(find_compiler() is None, reason="no C compiler")

MODELS = {
    "crnn": {},
    "crnn, two frames a step": {"step_frames": 2},
    "gru, one layer": {"n_layers": 1},
    "lstm": {"words": LABELS},
    "rnn of coefficients": {"kind": "mfcc", "n_mfcc": 13},
    "rnn at 8 kHz, absolute": {
        "sample_rate": 8_000,
        "fmax": 4_000.0,
        "n_fft": 256,
        "win_length": 200,
        "hop_length": 80,
        "n_mels": 24,
        "relative": False,
        "n_layers": 1,
    },
}


@pytest.fixture(scope="module", params=MODELS)
def compiled(request, tmp_path_factory):
    """A model, its files in C, and the program."""
    arch, _, _ = request.param.replace(",", " ").partition(" ")
    folder = tmp_path_factory.mktemp("c")
    artifact = save_causal_model(folder / "model", arch, **MODELS[request.param])
    wanted = Request(artifact, "c", made_clips(artifact, 12), "size")
    bundle = c_bundle(wanted, is_int8=False)
    program = compile_program(bundle.files, folder, find_compiler())
    return artifact, bundle, program, wanted.clips


def test_every_network_is_computed_as_by_the_model(compiled):
    artifact, bundle, program, clips = compiled
    samples = clips.joined(artifact.features.sample_rate)
    rows = run_program(program, samples)
    expected = model_stream(artifact, samples)
    assert rows.shape == expected.shape and expected.std(axis=0).max() > 0.01
    np.testing.assert_allclose(rows, expected, atol=1e-4)
    assert bundle.checks["speechcls_model.c"].largest_difference < 1e-4


def test_a_clip_is_a_stream_of_its_own(compiled):
    artifact, _, program, clips = compiled
    n_samples = clips.windows.shape[1]
    rows = run_program(program, clips.windows.reshape(-1), n_samples)
    found = peak_steps(rows, len(clips.windows), temperature_of(artifact))
    expected = model_answers(Classifier(artifact, jobs=1), clips)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_the_program_names_labels_and_says_what_a_stream_takes(compiled):
    artifact, _, program, _ = compiled
    printed = subprocess.run([program, "labels"], capture_output=True, text=True).stdout
    assert printed.splitlines() == list(artifact.labels)
    n_bytes = int(subprocess.run([program, "state"], capture_output=True, text=True).stdout)
    assert 4 * artifact.features.n_fft < n_bytes < 100_000
    assert subprocess.run([program, "nonsense"], capture_output=True).returncode == 2


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return save_causal_model(tmp_path_factory.mktemp("small") / "model", "lstm", n_layers=1)


def test_int8_gives_the_events_of_the_model(tmp_path):
    stream_model = load_artifact("commands-stream")
    clips = made_clips(stream_model, 40, seed=5)
    facts = facts_of(Request(stream_model, "c-int8", clips, "size"))
    files = c_files(stream_model, facts, is_int8=True)
    files["speechcls_run.c"] = _run_c()
    program = compile_program(files, tmp_path, find_compiler())
    samples = clips.windows.reshape(-1)
    rows = run_program(program, samples)
    expected = model_stream(stream_model, samples)
    assert (rows.argmax(axis=1) == expected.argmax(axis=1)).mean() > 0.98
    assert len(files["speechcls_tables.h"]) < 2e6
    stream = StreamingClassifier(stream_model)
    assert [e.label for e in stream.feed(to_float(samples)) + stream.finish()] == events_of(
        stream_model, rows
    )


def _run_c():
    from speechcls.deployment.bundle import own_file

    return own_file("run.c")


def events_of(artifact, rows):
    """The labels of the events in posteriors of another engine."""
    from speechcls.runtime.detection import Detector, choose_thresholds
    from speechcls.runtime.stream import Posteriors, PosteriorStream

    stream = PosteriorStream(artifact)
    detector = Detector(stream, choose_thresholds(artifact))
    times = stream.every_s * np.arange(1, 1 + len(rows))
    found = detector.push(Posteriors(times, rows)) + detector.finish()
    return [event.label for event in found]


def test_networks_without_a_form_in_c_are_refused(tmp_path):
    for name in ("commands", "commands-tiny"):
        with pytest.raises(ExportError, match=r"att-bigru .* no C form; rnn, lstm, gru, crnn have"):
            check_has_c(load_artifact(name))
    model = save_causal_model(tmp_path / "m", "rnn", n_layers=1, n_fft=480)
    with pytest.raises(ExportError, match="n_fft 480 is no power of two"):
        check_has_c(model)


def test_without_a_compiler_it_is_written_and_said(small, monkeypatch):
    monkeypatch.setenv("CC", "absent-compiler")
    bundle = c_bundle(Request(small, "c", made_clips(small, 2), "size"), False)
    assert bundle.checks == {}
    [note] = bundle.notes
    assert "no C compiler was found" in note


def test_code_that_does_not_compile_is_refused(tmp_path):
    with pytest.raises(ExportError, match="cannot compile the model"):
        compile_program({"speechcls_run.c": b"int main", "speechcls_model.c": b""}, tmp_path, "cc")


ARDUINO_STUBS = {
    "PDM.h": """
#include <stdio.h>
#include <string.h>
struct Microphone {
  int n_bytes, value;
  void (*tell)();
  void onReceive(void (*function)()) { tell = function; }
  int begin(int, int) { return 1; }
  int available() { return n_bytes; }
  int read(void *to, int n) {
    memset(to, value, n);
    n_bytes -= n;
    return n;
  }
};
static Microphone PDM;
struct Port {
  void begin(long) {}
  void println(const char *text) { puts(text); }
};
static Port Serial;
"""
}
ESP_STUBS = {
    "driver/i2s_std.h": """
#include <stddef.h>
typedef void *i2s_chan_handle_t;
typedef struct { int port, role; } i2s_chan_config_t;
typedef struct { int rate; } i2s_clock;
typedef struct { int bits, mode; } i2s_slot;
typedef struct { int mclk, bclk, ws, dout, din; } i2s_pins;
typedef struct { i2s_clock clk_cfg; i2s_slot slot_cfg; i2s_pins gpio_cfg; } i2s_std_config_t;
enum { I2S_NUM_AUTO, I2S_ROLE_MASTER, I2S_DATA_BIT_WIDTH_32BIT, I2S_SLOT_MODE_MONO };
enum { GPIO_NUM_25 = 25, GPIO_NUM_26, GPIO_NUM_33 = 33, I2S_GPIO_UNUSED = -1 };
#define I2S_CHANNEL_DEFAULT_CONFIG(port, role) {port, role}
#define I2S_STD_CLK_DEFAULT_CONFIG(rate) {rate}
#define I2S_STD_PHILIPS_SLOT_DEFAULT_CONFIG(bits, mode) {bits, mode}
#define ESP_ERROR_CHECK(call) do { if (call) return 0; } while (0)
int i2s_new_channel(const i2s_chan_config_t *, i2s_chan_handle_t *, i2s_chan_handle_t *);
int i2s_channel_init_std_mode(i2s_chan_handle_t, const i2s_std_config_t *);
int i2s_channel_enable(i2s_chan_handle_t);
int i2s_channel_read(i2s_chan_handle_t, void *, size_t, size_t *, unsigned);
""".replace("return 0;", "abort();").replace("<stddef.h>", "<stddef.h>\n#include <stdlib.h>"),
    "freertos/FreeRTOS.h": "#define portMAX_DELAY 0xffffffffu\n",
}


@pytest.mark.skipif(shutil.which("g++") is None, reason="no g++")
@pytest.mark.parametrize(
    ("sketch", "stubs", "command"),
    [
        ("arduino/arduino.ino", ARDUINO_STUBS, ["g++", "-x", "c++", "-std=gnu++17"]),
        ("esp-idf/main/main.c", ESP_STUBS, ["gcc", "-std=gnu11"]),
    ],
)
def test_the_sketches_compile(sketch, stubs, command, small, tmp_path, monkeypatch):
    monkeypatch.setenv("CC", "absent-compiler")
    files = c_bundle(Request(small, "c", made_clips(small, 2), "size"), False).files
    for name, content in stubs.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    for name in ("speechcls_model.h", sketch):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(files[name])
    flags = ["-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-I.", "-include", "stdint.h"]
    done = subprocess.run([*command, *flags, sketch], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr


ARDUINO_RUN = """
#define SPEECHCLS_IMPLEMENTATION
#include "arduino/arduino.ino"

/* A model to which a sound of ones is its first label, whatever came before. */
void speechcls_init(speechcls_model *) {}
void speechcls_push(speechcls_model *, const int16_t *samples, float *probabilities) {
  for (int i = 0; i < SPEECHCLS_N_LABELS; i++) probabilities[i] = 0;
  probabilities[0] = samples[0] == 0x0101 && samples[SPEECHCLS_STEP - 1] == 0x0101;
}

static void hear(int value, int n_steps, bool is_slow) {
  PDM.value = value;
  PDM.n_bytes = 2 * n_steps * SPEECHCLS_STEP;
  while (PDM.n_bytes) {
    PDM.tell();
    if (!is_slow) loop();
  }
}

int main() {
  setup();
  n_heard = n_taken = 0u - 30u * SPEECHCLS_STEP; /* after 74 hours */
  hear(1, 4, false);   /* a word, told once */
  hear(0, 10, false);
  hear(1, 2, false);   /* too soon for another */
  hear(0, 20, false);  /* in which the count overflows */
  puts("later");
  hear(1, 2, false);
  hear(0, 40, false);
  puts("slow");
  hear(0, 20, true);
  hear(1, 3, false);   /* the newest sound is what counts */
}
"""


@pytest.mark.skipif(shutil.which("g++") is None, reason="no g++")
def test_the_sketch_for_arduino_hears_for_weeks_and_says_what_it_loses(
    small, tmp_path, monkeypatch
):
    monkeypatch.setenv("CC", "absent-compiler")
    files = c_bundle(Request(small, "c", made_clips(small, 2), "size"), False).files
    (tmp_path / "arduino").mkdir()
    for name in ("speechcls_model.h", "arduino/arduino.ino"):
        (tmp_path / name).write_bytes(files[name])
    (tmp_path / "PDM.h").write_text(ARDUINO_STUBS["PDM.h"])
    (tmp_path / "run.cpp").write_text(ARDUINO_RUN)
    command = ["g++", "-Wall", "-Wextra", "-I.", "-o", "run", "run.cpp"]
    subprocess.run(command, cwd=tmp_path, check=True)
    done = subprocess.run([tmp_path / "run"], capture_output=True, text=True)
    assert done.stderr == ""
    lost = "sound was lost: this board is too slow for the model"
    assert done.stdout.splitlines() == ["yes", "later", "yes", "slow", lost, "yes"]


def test_make_builds_it_without_a_warning_and_it_touches_no_memory_beyond(compiled, tmp_path):
    _, bundle, program, clips = compiled
    for name, content in bundle.files.items():
        if "/" not in name:
            (tmp_path / name).write_bytes(content)
    checked = f"{find_compiler()} -fsanitize=address,undefined -fno-sanitize-recover"
    command = ["make", "CFLAGS=-O1 -std=c99 -Wall -Wextra -Werror -pedantic", f"CC={checked}"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    if "cannot find" in done.stderr:
        pytest.skip("no sanitizers")
    assert done.returncode == 0, done.stderr
    samples = clips.windows[:2].reshape(-1)
    rows = run_program(tmp_path / "speechcls_run", samples)
    np.testing.assert_allclose(rows, run_program(program, samples), atol=1e-5)
    np.testing.assert_allclose(rows.sum(axis=1), 1, atol=1e-5)
    assert rows.shape[1] == len(LABELS)


def test_the_makefile_makes_every_warning_an_error(small):
    files = c_bundle(Request(small, "c", made_clips(small, 2), "size"), is_int8=False).files
    assert (
        "CFLAGS += -std=c99 -ffp-contract=fast -Wall -Wextra -Werror -pedantic"
        in files["Makefile"].decode()
    )


def test_sums_that_would_overflow_are_refused(small, monkeypatch):
    monkeypatch.setattr("speechcls.deployment.c_code.WIDEST", 100)
    facts = facts_of(Request(small, "c-int8", made_clips(small, 1), "size"))
    with pytest.raises(ExportError, match=r"a layer has 160 inputs, .* would not fit into 32 bits"):
        c_files(small, facts, is_int8=True)
    assert c_files(small, facts, is_int8=False)


def test_labels_are_text_of_c_whatever_they_hold(tmp_path, monkeypatch):
    labels = ('a"b\\c', "line\nend??/", "größe 日本", "_silence_")
    monkeypatch.setattr("common_streams.LABELS", labels)
    model = save_causal_model(tmp_path / "it's *mine*", "rnn", labels, 1, 8)
    bundle = c_bundle(Request(model, "c", made_clips(model, 2), "size"), is_int8=False)
    assert bundle.checks["speechcls_model.c"].equal_ratio == 1
    program = compile_program(bundle.files, tmp_path, find_compiler())
    printed = subprocess.run([program, "labels"], capture_output=True, check=True).stdout
    assert printed.decode() == "".join(f"{label}\n" for label in labels)
    assert "| 1 | `line\\nend??/` |" in bundle.files["README.md"].decode()
