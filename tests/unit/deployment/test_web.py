"""The page's own arithmetic in node, and the whole model where onnxruntime-web is there."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from speechcls.artifact.store import load_artifact
from speechcls.audio.samples import fit_length, to_float
from speechcls.deployment.check import made_clips, model_stream
from speechcls.deployment.export import export_model
from speechcls.deployment.web import VERSION, read_runtime
from speechcls.errors import ExportError
from speechcls.runtime.classifier import Classifier
from speechcls.runtime.session import apply_temperature

RUNTIME = Path(os.environ.get("ONNXRUNTIME_WEB", "absent"))
"""The unpacked npm package; without it, the graphs are not run in JavaScript."""

needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="no node")


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    out = tmp_path_factory.mktemp("web") / "out"
    runtime = RUNTIME if RUNTIME.is_dir() else None
    exported = export_model(load_artifact("commands-stream"), "web", out, runtime=runtime)
    assert bool(exported.notes) == (runtime is None)
    return out


def run(folder, script):
    """What a script of JavaScript prints as JSON, with the exported module at hand."""
    (folder / "test.mjs").write_text(f"import * as s from './speechcls.js';\n{script}")
    done = subprocess.run(
        ["node", "test.mjs"], cwd=folder, capture_output=True, text=True, timeout=120
    )
    (folder / "test.mjs").unlink()
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@needs_node
def test_the_temperature_is_that_of_the_model(page):
    rows = np.array([[0.7, 0.2, 0.1], [1e-20, 0.5, 0.5]], np.float32)
    for temperature in (0.5, 1.0, 1.3):
        script = (
            f"console.log(JSON.stringify({rows.tolist()}.map((r) => s.temper(r, {temperature}))))"
        )
        np.testing.assert_allclose(
            run(page, script), apply_temperature(rows, temperature), atol=1e-6
        )


@needs_node
@pytest.mark.parametrize("n", [5, 8, 9, 40])
def test_the_window_is_that_of_the_model(n, page):
    samples = (np.random.default_rng(n).integers(-99, 99, n) / 128).astype(np.float32)
    given = f"Float32Array.from({samples.tolist()})"
    found = run(page, f"console.log(JSON.stringify([...s.toWindow({given}, 8)]))")
    assert found == fit_length(samples, 8).tolist()


@needs_node
def test_words_are_detected_by_means_above_their_thresholds(page):
    about = {
        "labels": ["yes", "no", "_silence_"],
        "thresholds": {"yes": 0.6, "no": 0.9},
        "events": {"smoothing_s": 0.2, "min_s": 0.2, "refractory_s": 0.5},
    }
    # means of two: yes .5 .7 .8 .4 -, then .7 .9 within half a second of the word, then .9 .9
    yes = [0.5, 0.9, 0.7, 0.1, 0.5, 0.9, 0.9, 0, 0, 0, 0, 0.9, 0.9, 0.9]
    rows = [[p, 0.85 * (1 - p), 0.15 * (1 - p)] for p in yes]
    script = f"""
      const d = new s.Detector({json.dumps(about)}, 0.1);
      const found = {rows}.map((row) => d.push(row)).filter(Boolean);
      console.log(JSON.stringify(found));"""
    found = run(page, script)
    assert [(w["label"], round(w["timeS"], 3)) for w in found] == [("yes", 0.3), ("yes", 1.4)]
    assert found[0]["probability"] == pytest.approx(0.8)


@needs_node
@pytest.mark.skipif(not RUNTIME.is_dir(), reason="no $ONNXRUNTIME_WEB")
def test_the_model_answers_alike_in_javascript(page, tmp_path):
    artifact = load_artifact("commands-stream")
    clips = made_clips(artifact, 6)
    samples = to_float(clips.windows)
    (tmp_path / "sound.raw").write_bytes(samples.tobytes())
    script = f"""
      import fs from "node:fs";
      import * as ort from "./ort/ort.wasm.min.mjs";
      ort.env.wasm.numThreads = 1;
      const read = (name) => new Uint8Array(fs.readFileSync(name));
      const about = JSON.parse(fs.readFileSync("export.json"));
      const r = await s.Recogniser.create(ort, about, read("model.onnx"), read("stream.onnx"));
      const sound = new Float32Array(read("{tmp_path}/sound.raw").buffer);
      const clips = [], n = about.n_samples;
      for (let i = 0; i < 6; i++) clips.push(await r.classify(sound.subarray(i * n, (i + 1) * n)));
      const stream = await r.openStream(), rows = [];
      for (let i = 0; i < sound.length; i += 1000) {{
        rows.push(...await stream.push(sound.subarray(i, i + 1000)));
      }}
      console.log(JSON.stringify({{clips, rows}}));"""
    found = run(page, script)
    expected = Classifier(artifact, jobs=1).probabilities(samples)
    np.testing.assert_allclose(found["clips"], expected, atol=1e-4)
    rows = model_stream(artifact, clips.windows.reshape(-1))
    np.testing.assert_allclose(found["rows"], rows, atol=1e-4)


@needs_node
def test_every_script_of_the_page_is_javascript(page):
    for name in ("page.js", "speechcls.js", "worklet.js"):
        (page / "check.mjs").write_bytes((page / name).read_bytes())
        done = subprocess.run(["node", "--check", page / "check.mjs"], capture_output=True)
        assert done.returncode == 0, done.stderr
    (page / "check.mjs").unlink()


def test_the_page_names_no_other_server(page):
    for name in ("index.html", "page.js", "speechcls.js", "worklet.js"):
        assert "http" not in (page / name).read_text().replace("http-equiv", "")


def package(folder, name="onnxruntime-web", version=VERSION):
    (folder / "dist").mkdir(parents=True)
    (folder / "package.json").write_text(json.dumps({"name": name, "version": version}))
    for part in ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm"):
        (folder / "dist" / part).write_text(part)
    return folder


def test_the_engine_is_copied_from_its_package(tmp_path):
    parts = read_runtime(package(tmp_path))
    assert parts["ort/ort.wasm.min.mjs"] == b"ort.wasm.min.mjs" and len(parts) == 3


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda p: package(p, version="1.14.0"), "onnxruntime-web@1.14.0; name the package"),
        (lambda p: package(p, name="left-pad"), "left-pad@"),
        (lambda p: (package(p) / "package.json").write_text("{"), "damaged; name the unpacked"),
        (
            lambda p: (package(p) / "dist" / "ort.wasm.min.mjs").unlink(),
            "ort.wasm.min.mjs: no such",
        ),
        (lambda p: None, "package.json: no such file or directory; name the unpacked npm package"),
    ],
)
def test_another_package_is_refused(spoil, words, tmp_path):
    spoil(tmp_path)
    with pytest.raises(ExportError, match=words):
        read_runtime(tmp_path)
