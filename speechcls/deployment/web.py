"""A page that runs a model in the browser alone, by onnxruntime-web."""

import html
import json
from pathlib import Path

from speechcls.artifact.format import STREAM
from speechcls.deployment.bundle import (
    README,
    Bundle,
    Request,
    filled,
    own_file,
    readme,
)
from speechcls.deployment.graphs import (
    check_graphs,
    model_graphs,
    open_plain,
    state_shapes,
    stream_of,
)
from speechcls.errors import ExportError, reason_of
from speechcls.text import printable

PACKAGE, VERSION = "onnxruntime-web", "1.30.0"
"""The npm package that runs the graphs, and its version that was tested."""
_PARTS = ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
_OWN = ("page.js", "worklet.js", "speechcls.js")


def web_bundle(request: Request) -> Bundle:
    """Return a page with its model and, if it is named, the engine that runs it.

    Nothing is fetched: an export that quietly downloads 14 MB of foreign code, which then runs in
    people's browsers, is none that one may run in a build.

    Raises
    ------
    ExportError
        When the engine is not the package, or of another version.
    ArtifactError
        When the model is damaged.
    """
    parts = {} if request.runtime is None else read_runtime(request.runtime)
    graphs = model_graphs(request.artifact)
    checks = check_graphs(request.artifact, graphs, request.clips)
    get = f"npm pack {PACKAGE}@{VERSION} && tar -xzf {PACKAGE}-{VERSION}.tgz"
    runtime = f"`ort/` holds {PACKAGE} {VERSION}."
    notes: tuple[str, ...] = ()
    if not parts:
        runtime = (
            f"It lacks its engine, {PACKAGE}. Three of its files belong into `ort/`:\n\n```sh\n"
            f"{get}\nmkdir ort && cp {' '.join(f'package/dist/{name}' for name in _PARTS)} ort/\n"
            "```"
        )
        notes = (f"the page lacks its engine: {get}, then name the folder package as runtime",)
    text = readme(request, "web.md", checks, runtime=runtime, version=VERSION)
    title = html.escape(f"{printable(request.artifact.path.name)}: recognise words")
    files = {
        "index.html": filled("index.html", {"title": title}),
        **{name: own_file(name) for name in _OWN},
        **graphs,
        **parts,
        README: text,
    }
    return Bundle(files, checks, notes, {"stream": _stream_facts(request, graphs[STREAM])})


def _stream_facts(request: Request, content: bytes) -> dict[str, object]:
    """Return how the page feeds the graph of a stream."""
    states = state_shapes(open_plain(content))
    return {"block": stream_of(request.artifact, content).block, "states": states}


def read_runtime(folder: Path) -> dict[str, bytes]:
    """Return the files of onnxruntime-web that a page needs, from its unpacked npm package.

    Raises
    ------
    ExportError
        When the folder is not this package, or of another version.
    """
    try:
        about = json.loads((folder / "package.json").read_text(encoding="utf-8"))
        found = f"{about['name']}@{about['version']}"
        if found != f"{PACKAGE}@{VERSION}":
            raise ExportError(f"{folder}: {found}; name the package {PACKAGE} {VERSION}")
        return {f"ort/{name}": (folder / "dist" / name).read_bytes() for name in _PARTS}
    except OSError as error:
        raise ExportError(
            f"{error.filename}: {reason_of(error)}; name the unpacked npm package {PACKAGE}"
            f" {VERSION}"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise ExportError(
            f"{folder / 'package.json'}: damaged; name the unpacked npm package {PACKAGE} {VERSION}"
        ) from error
