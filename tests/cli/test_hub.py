"""``speechcls push`` and ``pull``: real commands, and a stand-in of the Hub on this machine."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from common_hub import TOKEN, serving
from safetensors.numpy import load_file

from speechcls.artifact.manifest import extended_manifest
from speechcls.artifact.snapshots import snapshot_bytes

pytest.importorskip("huggingface_hub", reason="pip install 'speechcls[hub]'")

ROOT = Path(__file__).parents[2]
TINY = ROOT / "models" / "commands-tiny"
NAME = "ann/words"


@pytest.fixture
def hub():
    with serving() as hub:
        yield hub


@pytest.fixture
def ask(hub, run, tmp_path):
    """Run a command as somebody who has the token of Ann, or ``token``; it is never printed."""

    def begin(*arguments, token=TOKEN, **changes):
        own = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "hf"), "NO_PROXY": "127.0.0.1"}
        own |= {"SPEECHCLS_CACHE": str(tmp_path / "cache"), "HF_TOKEN": token}
        own |= {"SPEECHCLS_REMOTE_ATTEMPTS": "1"}
        result = run(*arguments, cwd=tmp_path, env=own | changes)
        assert not token or token not in result.stdout + result.stderr
        assert "Traceback" not in result.stderr
        return result

    return begin


@pytest.fixture
def pushed(hub):
    """A repository that has the model already."""
    hub.files[NAME] = {path.name: path.read_bytes() for path in TINY.iterdir()}
    hub.private[NAME] = True
    return hub.files[NAME]


def files_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_model_goes_up_in_one_commit_and_comes_back(hub, ask, tmp_path):
    result = ask("push", TINY, f"hf://{NAME}")
    assert (result.code, result.stdout) == (0, f"hf://{NAME}@{hub.sha(NAME)}\n"), result.stderr
    assert "split.csv, which names 17814 clips and 1727 speakers" in result.stderr
    [(name, added, deleted)] = hub.commits
    assert (name, added, deleted) == (NAME, files_of(TINY), [])
    assert hub.private[NAME] is True
    pulled = ask("pull", f"hf://{NAME}")
    assert (pulled.code, pulled.stdout) == (0, "models/words\n"), pulled.stderr
    assert files_of(tmp_path / "models" / "words") == files_of(TINY)  # and no .gitattributes
    again = ask("pull", f"hf://{NAME}@{hub.sha(NAME)}")
    assert (again.code, again.errors[0]) == (
        1,
        "models/words: exists; use force to replace it, or choose another place",
    )


def test_snapshots_go_up_with_it_and_come_back(hub, ask, tmp_path):
    model = tmp_path / "learnt"
    shutil.copytree(TINY, model)
    content = snapshot_bytes({3: load_file(TINY / "weights.safetensors")})
    manifest = extended_manifest(model, "snapshots.safetensors", content)
    (model / "snapshots.safetensors").write_bytes(content)
    (model / "manifest.json").write_bytes(manifest)
    assert ask("push", model, f"hf://{NAME}").code == 0
    pulled = ask("pull", f"hf://{NAME}", "--out", tmp_path / "back")
    assert pulled.code == 0, pulled.stderr
    assert files_of(tmp_path / "back") == files_of(model)
    # A model without any takes its place whole.
    assert ask("push", TINY, f"hf://{NAME}").code == 0
    assert hub.commits[-1][2] == ["snapshots.safetensors"]


def test_files_of_the_model_before_go_and_others_stay(hub, ask, pushed, tmp_path):
    pushed["notes.md"] = b"mine"
    model = Path(shutil.copytree(TINY, tmp_path / "model"))
    for name in ("calibration.json", "README.md"):
        (model / name).unlink()
    manifest = json.loads((model / "manifest.json").read_text())
    del manifest["sha256"]["calibration.json"]
    (model / "manifest.json").write_text(json.dumps(manifest))
    result = ask("push", model, f"hf://{NAME}", "--public", "-q")
    assert (result.code, result.stderr) == (0, "")
    [(_, added, deleted)] = hub.commits
    assert deleted == ["calibration.json"]
    assert {"notes.md", "README.md"} <= set(pushed)  # a card is edited there, too
    assert "manifest.json" in added and "model.onnx" not in added  # which is there already
    assert hub.private[NAME] is True  # as it was


def test_public_makes_a_public_repository(hub, ask):
    assert ask("push", TINY, f"hf://{NAME}", "--public").code == 0
    assert hub.private[NAME] is False


def test_a_model_is_used_where_it_lies(ask, pushed, tmp_path):
    result = ask("verify", f"hf://{NAME}@main")
    assert (result.code, result.errors) == (0, [])
    assert {row[0] for row in result.rows} == {"ok"}
    clip = tmp_path / "clip.wav"
    soundfile.write(clip, np.zeros(16_000), 16_000)
    result = ask("predict", clip, "--model", f"hf://{NAME}")
    assert (result.code, result.labels) == (0, ["_silence_"]), result.stderr
    assert f"speechcls: model hf://{NAME} (named)" in result.stderr


REFUSED = {
    "nobody's": (["pull", "hf://ann/none"], {}, "hf://ann/none: no such repository"),
    "private": (["pull", f"hf://{NAME}"], {"token": ""}, f"hf://{NAME}: no such repository"),
    "a branch": (["pull", f"hf://{NAME}@old"], {}, f"hf://{NAME}@old: no such branch, tag"),
    "a wrong token": (
        ["push", TINY, f"hf://{NAME}"],
        {"token": "hf_wrong"},
        f"hf://{NAME}: credentials are refused (HTTP 401)",
    ),
    "no token": (["push", TINY, f"hf://{NAME}"], {"token": ""}, f"hf://{NAME}: no token of the"),
    "of another": (["push", TINY, "hf://bob/words"], {}, "hf://bob/words: credentials are refused"),
    "no network": (
        ["pull", f"hf://{NAME}"],
        {"HF_ENDPOINT": "http://127.0.0.1:9"},
        f"hf://{NAME}: unreachable",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_the_hub_refuses_is_told_in_a_line(case, ask, hub, pushed, tmp_path):
    arguments, changes, said = REFUSED[case]
    result = ask(*arguments, **changes)
    assert (result.code, result.stdout) == (1, "")
    [error] = result.errors
    assert error.startswith(said), error
    assert hub.commits == []
    assert not (tmp_path / "models").exists()


def test_a_gated_model_is_told(ask, hub, pushed):
    hub.gated.add(NAME)
    [error] = ask("pull", f"hf://{NAME}").errors
    assert error.startswith(f"hf://{NAME}: its owner lets in whom they choose; ask on its page")


def test_damage_is_seen_on_both_ways(ask, hub, pushed, tmp_path):
    model = Path(shutil.copytree(TINY, tmp_path / "model"))
    (model / "metrics.json").write_text("{}")
    result = ask("push", model, "hf://ann/other")
    assert (result.code, hub.commits) == (1, [])
    assert result.errors == ["model: damaged; copy or train it again".replace("model", str(model))]
    assert f"{model}/metrics.json: not the file that manifest.json names" in result.stderr
    pushed["weights.safetensors"] = pushed["weights.safetensors"][:-1]
    result = ask("pull", f"hf://{NAME}")
    assert result.errors == [f"hf://{NAME}: damaged; copy or train it again"]
    assert f"hf://{NAME}/weights.safetensors: not the file that" in result.stderr
    assert not (tmp_path / "models").exists()
    del pushed["model.onnx"]
    result = ask("pull", f"hf://{NAME}")
    assert result.errors == [f"hf://{NAME}: no speechcls model (no model.onnx); name another"]


@pytest.mark.parametrize(
    "address", ["ann/words", "hf://ann", "hf://datasets/ann", "hf://ann/words/x", "hf://a/../b"]
)
def test_what_is_no_repository_is_wrong_usage(address, call):
    for command in (("push", TINY, address), ("pull", address)):
        result = call(*command)
        assert result.code == 2
        assert result.errors == [
            f"REPOSITORY: {address}: no repository of a model; give one as hf://user/name"
        ]


def test_a_revision_is_for_pulling(call):
    result = call("push", TINY, f"hf://{NAME}@x")
    [error] = result.errors
    assert error.startswith(f"hf://{NAME}@x: models go to the main branch")
