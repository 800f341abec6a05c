"""``speechcls export --to c``: run on Cortex-M processors that QEMU emulates."""

import subprocess
import sys

import numpy as np
import pytest
from common_streams import LABELS, save_causal_model

from speechcls.artifact.store import load_artifact
from speechcls.deployment.bundle import own_file
from speechcls.deployment.c_program import compile_program, find_compiler, run_program
from speechcls.deployment.check import made_clips, model_stream

MODELS = {
    "crnn": {"step_frames": 2, "hidden_size": 23},  # rows of odd length
    "gru": {"n_layers": 1},
    "lstm": {"words": LABELS},
    "rnn": {"kind": "mfcc", "n_mfcc": 13},
}


@pytest.fixture(scope="module")
def boards(request):
    """The benchmark, if its tools are installed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(request.config.rootpath / "benchmarks")
        import bench_cortexm as module
    if missing := module.missing_tools():
        packages = "gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-system-arm"
        pytest.skip(f"not installed: {', '.join(missing)}; apt install {packages}")
    return module


@pytest.fixture(scope="module", params=["c", "c-int8"])
def exported(request, tmp_path_factory):
    """The files of the causal model that comes with speechcls, some sound, and its own answers."""
    out = tmp_path_factory.mktemp("exported") / "out"
    command = [sys.executable, "-m", "speechcls", "export", "commands-stream"]
    command += ["--to", request.param, "--out", out]
    subprocess.run(command, check=True, capture_output=True)
    files = {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}
    artifact = load_artifact("commands-stream")
    samples = made_clips(artifact, 3).windows.reshape(-1)
    return request.param, files, samples, model_stream(artifact, samples)


@pytest.mark.parametrize("processor", ["cortex-m4", "cortex-m7", "cortex-m55"])
def test_an_export_computes_on_a_board_what_the_model_does(processor, boards, exported, tmp_path):
    target, files, samples, expected = exported
    board = boards.BOARDS[processor]
    program = boards.build(files, tmp_path, board)
    rows, cost = boards.run(program, board, samples, expected.shape[1])
    assert rows.shape == expected.shape and expected.std(axis=0).max() > 0.01
    if target == "c":
        np.testing.assert_allclose(rows, expected, atol=1e-4)
    else:
        assert (rows.argmax(axis=1) == expected.argmax(axis=1)).mean() > 0.98
        np.testing.assert_allclose(rows, _on_this_machine(files, tmp_path, samples), atol=5e-3)
    sizes = boards.sizes_of(program)
    assert sizes["code_bytes"] + sizes["library_bytes"] < 10_000
    assert sizes["table_bytes"] < {"c": 1_600_000, "c-int8": 420_000}[target]
    assert sizes["library_memory_bytes"] < 200 and cost.stack_bytes < 600
    assert cost.n_steps == len(rows)
    assert cost.instructions_a_step < _LIMITS[processor, target]
    assert cost.instructions_max < 1.01 * cost.instructions_a_step  # so each step has its time


_LIMITS = {
    **{("cortex-m4", "c"): 6_500_000, ("cortex-m4", "c-int8"): 4_900_000},
    **{("cortex-m7", "c"): 6_500_000, ("cortex-m7", "c-int8"): 4_900_000},
    **{("cortex-m55", "c"): 3_500_000, ("cortex-m55", "c-int8"): 1_900_000},
}
"""Instructions a step: a few hundredths above what gcc 12 makes of the code."""


@pytest.mark.parametrize(
    ("arch", "processor"),
    [
        *(("crnn", "cortex-m4"), ("crnn", "cortex-m55")),
        *(("gru", "cortex-m7"), ("lstm", "cortex-m4"), ("rnn", "cortex-m55")),
    ],
)
def test_every_network_with_a_form_in_c_is_computed_alike(arch, processor, boards, tmp_path):
    artifact = save_causal_model(tmp_path / "model", arch, **MODELS[arch])
    board, samples = boards.BOARDS[processor], made_clips(artifact, 4).windows.reshape(-1)
    expected = model_stream(artifact, samples)
    assert expected.std(axis=0).max() > 0.01
    for is_int8 in (False, True):
        files = boards.files_of(artifact, is_int8)
        folder = tmp_path / str(is_int8)
        folder.mkdir()
        rows, _ = boards.run(boards.build(files, folder, board), board, samples, len(LABELS))
        if is_int8:
            expected = _on_this_machine(files, folder, samples)
        np.testing.assert_allclose(rows, expected, atol=5e-3 if is_int8 else 1e-4)


def _on_this_machine(files, folder, samples):
    files = files | {"speechcls_run.c": own_file("run.c")}
    return run_program(compile_program(files, folder, find_compiler() or "cc"), samples)


def test_a_processor_without_doubles_is_asked_for_none(boards, exported, tmp_path):
    _, files, _, _ = exported
    program = boards.build(files, tmp_path, boards.BOARDS["cortex-m4"])
    listed = subprocess.run(["arm-none-eabi-nm", program], capture_output=True, text=True)
    names = {line.split()[-1] for line in listed.stdout.splitlines()}
    assert {"speechcls_push", "expf"} <= names
    assert not {name for name in names if name.startswith("__aeabi_d") or "2d" in name}
    assert not names & {"malloc", "_sbrk", "printf", "_write"}


MADE_UP = b"""
#include "speechcls_model.h"
void speechcls_init(speechcls_model *state) { state->count = 0; }
void speechcls_push(speechcls_model *state, const int16_t *samples, float *probabilities) {
  uint32_t n = 1000u * (uint32_t)++state->count;
  probabilities[0] = samples[1];
  %s
}
"""
HEADER = b"""
#include <stdint.h>
#define SPEECHCLS_STEP 2
#define SPEECHCLS_N_LABELS 1
typedef struct { int count; } speechcls_model;
void speechcls_init(speechcls_model *);
void speechcls_push(speechcls_model *, const int16_t *, float *);
"""
LOOP = b'__asm__ volatile("1: subs %0, #1\\n bne 1b" : "+l"(n) : : "cc");'


def _made_up(body):
    tables = {"speechcls_tables.h": b"", "Makefile": own_file("Makefile")}
    return {"speechcls_model.h": HEADER, "speechcls_model.c": MADE_UP % body} | tables


def test_instructions_are_counted(boards, tmp_path):
    board = boards.BOARDS["cortex-m4"]
    samples = np.array([0, 5, 0, -6, 0, 7, 9], np.int16)
    rows, cost = boards.run(boards.build(_made_up(LOOP), tmp_path, board), board, samples, 1)
    assert rows.tolist() == [[5], [-6], [7]]  # the last sample fills no step
    # Loops of 1,000, 2,000 and 3,000 rounds of two instructions, with some around them.
    assert 4_000 < cost.instructions_a_step < 4_080
    assert 6_000 < cost.instructions_max < 6_120
    assert cost.state_bytes == 4


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'(void)n; __asm__ volatile("udf #0");', "qemu-system-arm ended with 1"),
        (b"probabilities[0] *= 0.5 * (float)n;", "Werror=double-promotion"),
        (b"extern void *malloc(unsigned); probabilities[0] = malloc(n) != 0;", "_sbrk"),
    ],
)
def test_what_a_board_cannot_do_is_an_error(body, words, boards, tmp_path):
    board = boards.BOARDS["cortex-m4"]
    with pytest.raises(boards.BoardError, match=words):
        program = boards.build(_made_up(body), tmp_path, board)
        boards.run(program, board, np.zeros(4, np.int16), 1)
