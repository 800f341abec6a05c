"""Make the notebook of the lesson from its pages: ``make lesson``.

Each page of ``docs/lesson`` becomes text cells and, of its blocks of Python, code cells, without
outputs. The pages are the source: a test holds the notebook equal to them.
"""

import json
import re
from pathlib import Path
from typing import Any

from speechcls.files import write_atomic

ROOT = Path(__file__).parents[1]
LESSON = ROOT / "docs" / "lesson"
NOTEBOOK = LESSON / "lesson.ipynb"
BLOCK = re.compile(r"^```python\n(.*?)^```\n", re.MULTILINE | re.DOTALL)
FIRST = """\
# From sound to a decision: the lesson as a notebook

The six pages of [How it works](../HOW-IT-WORKS.md), one after the other, with their code. It needs
`speechcls` (`make install` in its folder), Jupyter (`.venv/bin/pip install jupyterlab`), no other
data, and a minute or two. Made of the pages by `make lesson`: change those.
"""


def pages() -> list[Path]:
    """Return the pages in order."""
    return sorted(LESSON.glob("[0-9]-*.md"))


def code_blocks(text: str) -> list[str]:
    """Return the blocks of Python in a page."""
    return BLOCK.findall(text)


def notebook() -> dict[str, Any]:
    """Return the notebook, as Jupyter's format 4.5 has it."""
    cells = [_cell("start", "markdown", FIRST)]
    for path in pages():
        parts = BLOCK.split(path.read_text(encoding="utf-8"))  # text and code in turn
        for i, part in enumerate(parts):
            if part.strip():
                kind = "code" if i % 2 else "markdown"
                cells.append(_cell(f"{path.stem}-{i}", kind, part))
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    return {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def _cell(name: str, kind: str, source: str) -> dict[str, Any]:
    cell = {
        "cell_type": kind,
        "id": name,
        "metadata": {},
        "source": source.strip("\n").splitlines(keepends=True),
    }
    return cell | ({"execution_count": None, "outputs": []} if kind == "code" else {})


def notebook_text() -> str:
    """Return the file of the notebook."""
    return json.dumps(notebook(), ensure_ascii=False, indent=1) + "\n"


def main() -> None:
    """Write the notebook."""
    write_atomic(NOTEBOOK, notebook_text().encode())
    print(NOTEBOOK.relative_to(ROOT))


if __name__ == "__main__":
    main()
