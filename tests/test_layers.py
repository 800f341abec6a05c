"""Imports point one way, and torch, scipy, librosa stay where they belong."""

import ast
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "speechcls"
ORDER = [
    "errors",
    "config",
    "wholefile",
    "audio",
    "pages",
    "faults",
    "fingerprint",
    "recording",
    "levels",
    "sources",
    "microphone",
    "takes",
    "readahead",
    "dataset",
    "silence",
    "splits",
    "cache",
    "clipstore",
    "packing",
    "artifact",
    "recurrence",
    "classifier",
    "streaming",
    "events",
    "truth",
    "stream_metrics",
    "stream_evaluation",
    "calibration",
    "mixing",
    "listening",
    "reactions",
    "metrics",
    "corpus",
    "evaluation",
    "predictions",
    "doubts",
    "findings",
    "copies",
    "checkup",
    "checkreport",
    "output",
    "figures",
    "mosaic",
    "report_tables",
    "report_figures",
    "comparison",
    "charts",
    "speed",
    "synth",
    "fourier",
    "features",
    "augment",
    "cells",
    "frontends",
    "networks",
    "recogniser",
    "finetuning",
    "explaining",
    "panels",
    "panel_figures",
    "explainpage",
    "batches",
    "running",
    "training",
    "tensorboard",
    "memory",
    "steps",
    "export",
    "report",
    "cli",
]
"""A module imports only from modules before it."""
OF_TORCH = ORDER[ORDER.index("fourier") : ORDER.index("cli")]
HEAVY = {"torch", "scipy", "librosa", "numba", "sklearn", "matplotlib"}
PREDICTION = ["cli", "classifier", "output", "audio", "dataset", "artifact", "readahead", "config"]


def imports(path: Path, only_at_start: bool) -> set[str]:
    """Return what a file imports, in full; with ``only_at_start`` what its import costs."""
    tree = ast.parse(path.read_text())
    found = set()
    pending: list[ast.AST] = [tree]
    while pending:
        node = pending.pop()
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                found |= {alias.name for alias in child.names}
            elif isinstance(child, ast.ImportFrom):
                found.add(str(child.module))
            is_later = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
            is_for_types = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
            if not (only_at_start and (is_later or is_for_types)):
                pending.append(child)
    return found


def module_of(path: Path) -> str:
    return "cli" if path.parent.name == "cli" else path.stem


FILES = sorted(p for p in PACKAGE.rglob("*.py") if p.stem not in ("__init__", "__main__"))


def test_every_module_has_its_place_in_the_order() -> None:
    assert {module_of(path) for path in FILES} == set(ORDER)


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_imports_point_one_way(path: Path) -> None:
    mine = module_of(path)
    for name in imports(path, only_at_start=False):
        if match := re.match(r"speechcls\.(\w+)", name):
            theirs = match[1]
            assert theirs == mine == "cli" or ORDER.index(theirs) < ORDER.index(mine), name


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_heavy_libraries_are_imported_where_they_belong(path: Path) -> None:
    heavy = {name.split(".")[0] for name in imports(path, only_at_start=True)} & HEAVY
    assert not heavy or module_of(path) in OF_TORCH


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_no_file_is_too_long_to_read(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 400


def test_the_light_requirements_are_those_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = (ROOT / "requirements-predict.txt").read_text().splitlines()
    light = {line for line in lines if line and not line.startswith("#")}
    assert light <= set(project["dependencies"])
    assert not any(line.startswith(("torch", "librosa", "scikit-learn")) for line in light)
