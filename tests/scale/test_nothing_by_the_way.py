"""What a cluster and object stores need is loaded by those alone, though it is installed."""

import json
import subprocess
import sys

import pytest

SCRIPT = """
import json, sys
from speechcls.cli.app import app
try:
    app(sys.argv[1:])
except SystemExit:
    pass
print(json.dumps(sorted({name.split(".")[0] for name in sys.modules})))
"""


@pytest.mark.parametrize("arguments", [["--help"], ["predict", "none.wav"], ["train", "none"]])
def test_a_local_command_loads_no_library_of_scale(arguments: list[str]) -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT, *arguments], capture_output=True)
    loaded = set(json.loads(done.stdout.splitlines()[-1]))
    assert "speechcls" in loaded
    assert not loaded & {"ray", "fsspec", "s3fs", "aiohttp", "pyarrow", "optuna", "boto3"}
