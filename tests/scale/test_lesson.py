"""The code of the lesson: each page alone, and the notebook in a kernel of Jupyter."""

import os
import subprocess
import sys
from pathlib import Path

import nbclient
import nbformat
import pytest

ROOT = Path(__file__).parents[2]

RUN_PAGES = """
import sys
from pathlib import Path
for name in sys.argv[1:]:
    exec(compile(Path(name).read_text(encoding="utf-8"), name, "exec"), {"__name__": name})
    print(Path(name).stem, file=sys.stderr)
"""


@pytest.fixture
def lesson(monkeypatch):
    """The module that makes the notebook of the pages."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import lesson

    return lesson


def test_the_code_of_each_page_runs_alone_and_what_it_asserts_holds(lesson, tmp_path):
    scripts = []
    for path in lesson.pages():
        blocks = lesson.code_blocks(path.read_text(encoding="utf-8"))
        assert "assert " in blocks[0]
        scripts.append(tmp_path / f"{path.stem}.py")
        scripts[-1].write_text("\n".join(blocks), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", RUN_PAGES, *scripts],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.stderr.split("\n") == [*(script.stem for script in scripts), ""]
    assert done.returncode == 0


def run_notebook(notebook, folder):
    """The notebook after a run of all its cells, in a kernel of its own."""
    client = nbclient.NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    )
    return client.execute()


@pytest.fixture
def kernel_files(tmp_path, monkeypatch):
    """Jupyter's own files go into a folder of the test."""
    for name in ("JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "IPYTHONDIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")


@pytest.mark.usefixtures("kernel_files")
def test_the_notebook_runs_from_the_first_cell_to_the_last(lesson, tmp_path):
    done = run_notebook(nbformat.read(lesson.NOTEBOOK, as_version=4), tmp_path)
    cells = [cell for cell in done.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    names = {output.output_type for cell in cells for output in cell.outputs}
    assert "error" not in names


@pytest.mark.usefixtures("kernel_files")
def test_an_assertion_that_does_not_hold_is_found(tmp_path):
    cell = nbformat.v4.new_code_cell("assert 1 + 16_000 // 160 == 100")
    with pytest.raises(nbclient.exceptions.CellExecutionError, match="AssertionError"):
        run_notebook(nbformat.v4.new_notebook(cells=[cell]), tmp_path)
