"""The card of a model: what the Hub reads, what people read, and what strangers named."""

import dataclasses
import html
import importlib.util
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile
from hostile_names import HIGH, LONG, LOW, NOT_UTF_8
from markdown_it import MarkdownIt

from speechcls import Classifier
from speechcls.artifact.calibration import Calibration, load_calibration, save_calibration
from speechcls.artifact.card import Score, front_matter, without_front_matter, write_card
from speechcls.artifact.format import Artifact
from speechcls.artifact.store import load_artifact, read_metrics, save_artifact
from speechcls.config import FeatureConfig, NetworkConfig
from speechcls.text import markdown, shorten, yaml_text

COMPAT = Path(__file__).parents[2] / "compat"
MODEL = COMPAT / "format-2-stream"
ROW = {"precision": 0.5, "recall": 0.75, "f1": 0.6, "n_clips": 4}
HOSTILE = (
    "[a](b)<img src=x>",
    "| a |",
    "---\nlicense: mit",
    "`x` *y* _z_",
    "http://a.b/ www.a.b",
    "a #",
)
NAMES = (HIGH, LOW, LONG, NOT_UTF_8, *HOSTILE)


def metrics_of(labels, **data):
    return {
        "validation": {
            "n_clips": 8,
            "n_speakers": 3,
            "accuracy": 0.71,
            "balanced_accuracy": 0.7512,
            "macro_f1": 0.6,
            "per_label": dict.fromkeys(labels, ROW),
        },
        "best_epoch": 2,
        "history": [{"epoch": 1}, {"epoch": 2}],
        "n_parameters": 1_234,
        "multiply_adds": 5_600_000,
        "training": {"recipe": "standard", "from_model": "/home/ann/models/old"},
        "data": {"n_clips": {"train": 30, "validation": 8}, **data},
        "versions": {"speechcls": "0.1.0"},
    }


def card_of(labels=("yes", "no", "_unknown_"), thresholds=None, **data):
    artifact = Artifact(Path("m"), FeatureConfig(), NetworkConfig(), labels, labels)
    return write_card(artifact, metrics_of(labels, **data), thresholds).decode()


def front_of(card):
    yaml = pytest.importorskip("yaml", reason="pip install 'speechcls[hub]'")
    assert card.startswith("---\n")
    return yaml.safe_load(card.split("\n---\n")[0])


def test_the_hub_is_told_what_it_is_and_that_the_scores_are_biased():
    front = front_of(card_of(address="hf://datasets/ann/words/data"))
    [model] = front.pop("model-index")
    assert front == {
        "library_name": "speechcls",
        "pipeline_tag": "audio-classification",
        "tags": ["speech-commands", "keyword-spotting", "onnx"],
        "datasets": ["ann/words"],
        "metrics": ["accuracy", "f1"],
    }
    assert model["name"] == "att-bigru: Spoken commands: yes, no"
    [result] = model["results"]
    assert result["dataset"]["type"] == "ann/words"
    assert [(each["type"], each["value"]) for each in result["metrics"]] == [
        ("accuracy", 0.7512),
        ("accuracy", 0.71),
        ("f1", 0.6),
    ]
    assert all("optimistically biased" in each["name"] for each in result["metrics"])
    # Data that lie elsewhere, or here, are none of the Hub's.
    for address in ("s3://bucket/words", ""):
        assert "datasets" not in front_of(card_of(address=address))


def test_the_librarys_own_reader_takes_it():
    hub = pytest.importorskip("huggingface_hub", reason="pip install 'speechcls[hub]'")
    card = hub.ModelCard(card_of((*NAMES, "yes")))
    assert card.data.library_name == "speechcls"
    assert [round(each.metric_value, 2) for each in card.data.eval_results] == [0.75, 0.71, 0.6]


@pytest.mark.parametrize(
    "change",
    [
        {"validation": None},
        {"validation": {"per_label": []}},
        {"validation": metrics_of(["a"])["validation"] | {"per_label": {"a": 1}}},
        {"validation": metrics_of(["a"])["validation"] | {"accuracy": None}},
        {"data": {"n_clips": {"train": "many"}}},
        {"history": None},
    ],
)
def test_metrics_of_strangers_may_lack_what_a_card_says(change):
    artifact = Artifact(Path("m"), FeatureConfig(), NetworkConfig(), ("a", "b"), ("a", "b"))
    assert write_card(artifact, metrics_of(["a"]) | change) is None


def test_people_are_told_how_good_it_is_by_word():
    card = card_of(thresholds={"yes": 0.9123})
    assert "| yes | 50.0 | 75.0 | 60.0 | 4 | 0.9123 |" in card
    assert r"| \_unknown\_ | 50.0 | 75.0 | 60.0 | 4 |  |" in card
    assert "On 8 validation clips by 3 speakers: balanced accuracy (mean recall) **75.1 %**" in card
    assert "**optimistically biased**" in card and "No licence is named" in card
    assert "(1,234 parameters, 5.6 million multiply-adds a clip)" in card
    assert "started from the model old." in card and "/home" not in card
    assert "license:" not in card.split("\n---\n")[0]


def test_names_of_strangers_are_no_markup():
    card = card_of(NAMES)
    front = front_of(card)
    assert set(front) == {"library_name", "pipeline_tag", "tags", "metrics", "model-index"}
    body = without_front_matter(card)
    page = MarkdownIt("gfm-like", {"linkify": False}).render(body)
    assert not re.search(r"<(a|img|script|em|b)\b", page)
    assert page.count("<h1>") == 1 and page.count("<table>") == 1
    rows = re.findall(r"<td>(.*?)</td>", page)
    shown = [html.unescape(cell) for cell in rows]
    assert len(re.findall("<tr>", page)) == len(NAMES) + 1
    for name in HOSTILE:
        plain = name.replace("\n", r"\n")
        assert plain in shown, plain
    assert shorten(LONG, 100) in shown
    assert not [c for c in card if not c.isprintable() and c != "\n"]


def test_the_rules_of_text_for_cards():
    assert markdown("a_b|c") == r"a\_b\|c"
    assert markdown(" \t") == r"\\t"
    assert markdown("  ") == "blank"
    assert markdown("att-bigru 0.1.0: a, b/c") == "att-bigru 0.1.0: a, b/c"
    assert yaml_text('a"b: #\n\udc80') == '"a\\"b: #\\\\n\\\\udc80"'
    assert front_matter("n", [Score("accuracy", 0.5, "a")], "d", license="mit").splitlines()[3] == (
        'license: "mit"'
    )
    assert without_front_matter("# no front\n---\n---\n") == "# no front\n---\n---\n"


@pytest.fixture
def model(tmp_path):
    """An old model, with the card that one would write for it today."""
    copied = Path(shutil.copytree(MODEL, tmp_path / "model"))
    metrics = json.loads((copied / "metrics.json").read_text())
    metrics["validation"]["balanced_accuracy"] = 0.875  # which it did not have then
    (copied / "metrics.json").write_text(json.dumps(metrics))
    artifact = load_artifact(copied)
    thresholds = load_calibration(artifact).thresholds
    (copied / "README.md").write_bytes(write_card(artifact, read_metrics(copied), thresholds))
    return copied


def test_what_the_card_says_to_run_runs(model):
    spec = importlib.util.spec_from_file_location("signals", COMPAT / "signals.py")
    signals = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(signals)
    soundfile.write(model / "clip.wav", signals.CLIPS["low"], signals.RATE)
    card = (model / "README.md").read_text()
    [code] = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    assert len(code.splitlines()) == 10
    [command] = re.findall(r"```sh\n(.*?)\n```", card, re.DOTALL)
    said = [
        subprocess.run(each, cwd=model, capture_output=True, text=True, check=True).stdout.split()
        for each in ([sys.executable, "-c", code], [sys.executable, "-m", *command.split()])
    ]
    [label, probability], [_, by_speechcls, _] = said
    assert label == by_speechcls == "low"
    plain = dataclasses.replace(load_artifact(model), contents=None)
    shutil.move(model / "calibration.json", model / "aside")  # its temperature is speechcls's own
    expected = Classifier(plain).predict(model / "clip.wav")
    assert float(probability) == pytest.approx(expected.probability, abs=1e-5)


def test_a_new_calibration_renews_a_card_that_nobody_edited(model):
    artifact = load_artifact(model)
    calibration = load_calibration(artifact)
    new = dataclasses.replace(calibration, thresholds={"high": 0.5, "low": 0.1234})
    save_calibration(artifact, new)
    assert " 0.1234 |" in (model / "README.md").read_text()
    edited = (model / "README.md").read_text() + "Mine.\n"
    (model / "README.md").write_text(edited)
    save_calibration(artifact, calibration)
    assert (model / "README.md").read_text() == edited
    (model / "README.md").unlink()
    save_calibration(artifact, new)
    assert not (model / "README.md").exists()


def test_it_is_written_with_a_model_that_has_scores(tmp_path):
    labels = ("no", "yes")
    artifact = Artifact(tmp_path / "m", FeatureConfig(), NetworkConfig(), labels, labels)
    save_artifact(artifact, {}, b"graph", metrics_of(labels), [])
    manifest = json.loads((tmp_path / "m" / "manifest.json").read_text())
    assert "README.md" not in manifest["sha256"]  # people edit it
    assert (tmp_path / "m" / "README.md").read_bytes() == write_card(artifact, metrics_of(labels))
    save_calibration(artifact, Calibration({"no": 0.4}, 1.0, 2.0, 1, 2.4, 1.0, 0, None, None))
    assert "| no | 50.0 | 75.0 | 60.0 | 4 | 0.4000 |" in (tmp_path / "m/README.md").read_text()
