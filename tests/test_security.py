"""SECURITY.md names tests that exist."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "SECURITY.md").read_text()


def test_the_tests_of_the_promises_exist():
    paths = set(re.findall(r"`((?:tests|benchmarks)/[^`]*)`", TEXT))
    assert len(paths) >= 10
    assert {path for path in paths if not (ROOT / path).exists()} == set()
    sources = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    names = set(re.findall(r"`(test_\w+)`", TEXT))
    assert names
    assert {name for name in names if f"def {name}(" not in sources} == set()


def test_each_promise_has_a_test():
    promised = TEXT.split("## What is promised")[1].split("## What is not promised")[0]
    rows = [line.strip("|").split("|") for line in promised.splitlines() if line.startswith("| ")]
    for promise, proof in (row for row in rows if row[0].strip() not in ("promise", "---")):
        assert "`" in proof or proof.strip().startswith("the same"), promise
