"""``speechcls bench``: models, folders of them, and broken ones among them."""

import json
import shutil

import pytest

KEYS = [
    "model",
    "parameters",
    "multiply_adds",
    "file_bytes",
    "load_ms",
    "ms_per_clip",
    "real_time_factor",
    "jobs",
    "best_batch",
    "best_ms_per_clip",
    "clips_per_second",
    "peak_memory_mb",
]


@pytest.fixture
def models(home, tmp_path):
    """A folder of two models, one of which says nothing of itself, and of what is no model."""
    folder = tmp_path / "models"
    shutil.copytree(home.model, folder / "first")
    shutil.copytree(home.model, folder / "second")
    (folder / "second" / "metrics.json").unlink()
    (folder / "notes").mkdir()
    (folder / "README.md").write_text("what these are")
    return folder


def test_a_folder_is_measured_as_a_table(models, home, run):
    result = run("bench", "models", cwd=models.parent)
    assert (result.code, result.stderr) == (0, "")
    assert "\x1b" not in result.stdout
    heading, *lines = result.stdout.splitlines()
    assert heading.split("  ")[0] == "model"
    for name in ("MB", "load ms", "real-time factor", "best batch", "clips/s", "peak MB"):
        assert f" {name}" in heading
    first, second = (line.split() for line in lines)
    n_parameters = json.loads((home.model / "metrics.json").read_text())["n_parameters"]
    assert first[:2] == ["models/first", f"{n_parameters:,}"]
    assert second[:3] == ["models/second", "-", "-"]
    assert len(first) == len(second) == 11


def test_json_has_every_figure(models, home, run):
    result = run("bench", models / "first", models / "second", "--json", "--jobs", "1")
    assert (result.code, result.stderr) == (0, "")
    first, second = (json.loads(line) for line in result.stdout.splitlines())
    assert list(first) == list(second) == KEYS
    assert [first["model"], second["model"]] == [str(models / "first"), str(models / "second")]
    metrics = json.loads((home.model / "metrics.json").read_text())
    assert first["multiply_adds"] == metrics["multiply_adds"]
    assert second["parameters"] is None and second["multiply_adds"] is None
    assert first["file_bytes"] == (home.model / "model.onnx").stat().st_size
    assert first["jobs"] == 1
    for speed in (first, second):
        # the model's window is half a second
        assert speed["real_time_factor"] == pytest.approx(speed["ms_per_clip"] / 500, rel=1e-3)
        assert speed["clips_per_second"] * speed["best_ms_per_clip"] == pytest.approx(1e3, rel=0.01)


@pytest.mark.parametrize("form", [[], ["--json"]], ids=["table", "json"])
def test_a_broken_model_is_named_and_the_others_are_measured(form, models, run):
    graph = models / "first" / "model.onnx"
    graph.write_bytes(graph.read_bytes()[:500])
    (models / "third").mkdir()
    (models / "third" / "model.onnx").write_bytes(b"")
    result = run("bench", "nowhere", "models", "models/notes", *form, cwd=models.parent)
    assert result.code == 1
    places = "nowhere", "models/first/model.onnx", "models/third", "models/notes"
    assert [error.split(":")[0] for error in result.errors] == list(places)
    assert "damaged" in result.errors[1] and "no config.json" in result.errors[2]
    assert len(result.stderr.splitlines()) == len(places)
    *heading, line = result.stdout.splitlines()
    assert "models/second" in line
    assert len(heading) == (0 if form else 1)


def test_parts_of_two_models_are_refused(models, run):
    config = json.loads((models / "first" / "config.json").read_text())
    config["labels"] = config["labels"][::-1]
    (models / "first" / "config.json").write_text(json.dumps(config))
    result = run("bench", models / "first")
    assert (result.code, result.stdout) == (1, "")
    assert "files of different models are mixed" in result.errors[0]


def test_without_a_name_it_is_the_model_that_predict_takes(at_home, run, models):
    result = run("bench", "--json")
    assert result.code == 0
    assert json.loads(result.stdout)["model"] == "models/tones-gru"
    assert result.stderr == "speechcls: model models/tones-gru (newest in ./models/)\n"
    other = run("bench", "--json", "--quiet", env={"SPEECHCLS_MODEL": str(models / "first")})
    assert (other.code, other.stderr) == (0, "")
    assert json.loads(other.stdout)["model"] == str(models / "first")


def test_a_name_is_shown_whole_and_as_it_is(models, run):
    place = models / (60 * "long") / ":cat: [bold]"
    shutil.move(models / "first", models / "x")
    place.parent.mkdir()
    shutil.move(models / "x", place)
    result = run("bench", f"models/{60 * 'long'}", cwd=models.parent)
    assert result.code == 0
    assert f"models/{60 * 'long'}/:cat: [bold]" in result.stdout


def test_the_bundled_model_has_a_name_anywhere(call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "commands").mkdir()  # of the user's, and no model
    result = call("bench", "commands", "--json")
    assert result.code == 0, result.stderr
    assert json.loads(result.stdout)["model"].endswith("commands")
