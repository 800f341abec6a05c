"""C code of a model as a folder: with a program, a Makefile and sketches; compiled and compared."""

import io
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from speechcls.audio.samples import PCM
from speechcls.deployment.bundle import README, Bundle, Request, facts_of, filled, own_file, readme
from speechcls.deployment.c_code import SOURCE, c_files
from speechcls.deployment.check import (
    Agreement,
    check_agreement,
    compare,
    model_answers,
    model_stream,
)
from speechcls.errors import ExportError
from speechcls.runtime.classifier import Classifier
from speechcls.runtime.session import Probabilities, apply_temperature, temperature_of

PROGRAM = "speechcls_run"
_COMPILERS = ("cc", "gcc", "clang")
_FLAGS = ("-O2", "-std=c99", "-ffp-contract=fast", "-Wall", "-Wextra", "-Werror", "-pedantic")
_TIMEOUT_S = 600


def c_bundle(request: Request, is_int8: bool) -> Bundle:
    """Return the folder of a model in C, compared with the model if there is a compiler.

    Raises
    ------
    ExportError
        When it has no form in C, does not compile, or does not do what the model does.
    ArtifactError
        When the model is damaged.
    """
    artifact = request.artifact
    facts = facts_of(request)
    files = c_files(artifact, facts, is_int8)
    files |= {f"{PROGRAM}.c": own_file("run.c"), "Makefile": own_file("Makefile")}
    step = artifact.features.hop_length * _frames_per_step(files)
    ring = 1 << (4 * step - 1).bit_length()
    sketch = {"word_seconds": str(float(facts["events"]["refractory_s"])), "ring": ring}
    files |= {
        "arduino/arduino.ino": filled("arduino.ino", sketch),
        "esp-idf/CMakeLists.txt": own_file("esp_project.cmake"),
        "esp-idf/main/CMakeLists.txt": own_file("esp_main.cmake"),
        "esp-idf/main/main.c": filled("esp_main.c", sketch),
    }
    checks: dict[str, Agreement] = {}
    notes: tuple[str, ...] = ()
    if compiler := find_compiler():
        checks = _check(request, files, compiler, is_int8)
    else:
        names = ", ".join(_COMPILERS)
        notes = (f"not compared with the model: no C compiler was found ({names} or $CC)",)
    kind = "int8 weights with a scale for each row" if is_int8 else "float weights"
    text = readme(
        request,
        "c.md",
        checks,
        kind=kind,
        step=step,
        step_ms=f"{1e3 * step / artifact.features.sample_rate:g}",
    )
    return Bundle({**files, README: text}, checks, notes)


def _frames_per_step(files: Mapping[str, bytes]) -> int:
    """Return the frames in a step, as the tables have them."""
    [line] = (
        line
        for line in files["speechcls_tables.h"].splitlines()
        if line.startswith(b"#define FRAMES_PER_STEP ")
    )
    return int(line.split()[2])


def find_compiler() -> str | None:
    """Return the C compiler: ``$CC``, else one that is usual; None where there is none."""
    named = os.environ.get("CC")
    return shutil.which(named) if named else next(filter(None, map(shutil.which, _COMPILERS)), None)


def compile_program(files: Mapping[str, bytes], folder: Path, compiler: str) -> Path:
    """Write C code to a folder and return the program that it was compiled to.

    Raises
    ------
    ExportError
        When it does not compile.
    """
    for name, content in files.items():
        if "/" not in name:
            (folder / name).write_bytes(content)
    program = folder / PROGRAM
    sources = [f"{PROGRAM}.c", SOURCE]
    command = [compiler, *_FLAGS, "-o", str(program), *sources, "-lm"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=_TIMEOUT_S)
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        raise ExportError(f"{compiler}: cannot compile the model; please report this", lines[:5])
    return program


def run_program(program: Path, samples: PCM, n_anew: int | None = None) -> Probabilities:
    """Return what a program prints (n_steps, n_labels) for ``samples`` (n,).

    Parameters
    ----------
    n_anew : samples after which the stream begins anew

    Raises
    ------
    ExportError
        When it fails.
    """
    arguments = [] if n_anew is None else [str(n_anew)]
    done = subprocess.run(
        [str(program), *arguments], input=samples.tobytes(), capture_output=True, timeout=_TIMEOUT_S
    )
    if done.returncode:
        raise ExportError(f"{program.name}: ended with {done.returncode}; please report this")
    rows = np.loadtxt(io.BytesIO(done.stdout), dtype=np.float32, delimiter="\t", ndmin=2)
    return np.asarray(rows[:, 1:], np.float32)


def peak_steps(rows: Probabilities, n_clips: int, temperature: float) -> Probabilities:
    """Return for each clip (n_clips, n_labels) the step at which a word is most probable.

    That is how the model itself answers for a clip: the last label is no word, and the temperature
    comes after the choice.

    Parameters
    ----------
    rows : (n_clips * n_steps, n_labels) at the temperature
    """
    steps = rows.reshape(n_clips, -1, rows.shape[1])
    before = apply_temperature(rows, 1 / temperature).reshape(steps.shape)
    likeliest = before[:, :, :-1].max(axis=2).argmax(axis=1)
    return np.asarray(steps[np.arange(n_clips), likeliest])


def _check(
    request: Request, files: Mapping[str, bytes], compiler: str, is_int8: bool
) -> dict[str, Agreement]:
    """Return how far the compiled code agrees with the model, on clips and on a stream."""
    artifact, clips = request.artifact, request.clips
    with tempfile.TemporaryDirectory() as folder:
        program = compile_program(files, Path(folder), compiler)
        samples = clips.joined(artifact.features.sample_rate)
        rows = run_program(program, samples)
        checks = {SOURCE: compare(rows, model_stream(artifact, samples))}
        if clips.truth is not None:
            windows = clips.windows
            rows = run_program(program, windows.reshape(-1), windows.shape[1])
            found = peak_steps(rows, len(windows), temperature_of(artifact))
            expected = model_answers(Classifier(artifact, jobs=1), clips)
            checks[PROGRAM + ".c"] = compare(found, expected, clips.truth)
    for name, agreement in checks.items():
        check_agreement(name, agreement, is_int8)
    return checks
