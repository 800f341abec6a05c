"""Write the graphs of models again from their weights, as this release exports them.

``reexport.py MODEL...``; nothing is trained, and the probabilities are the same within 1e-4.
"""

import sys
from pathlib import Path

from speechcls.artifact.format import MANIFEST, ONNX, STREAM
from speechcls.artifact.manifest import extended_manifest
from speechcls.artifact.store import load_artifact
from speechcls.export.onnx import export_onnx, export_stream
from speechcls.files import write_atomic
from speechcls.networks.load import load_recogniser


def main() -> None:
    """Write each graph whole or not at all."""
    for place in map(Path, sys.argv[1:]):
        artifact = load_artifact(place)
        recogniser, labels = load_recogniser(artifact), list(artifact.labels)
        for name, export in ((ONNX, export_onnx), (STREAM, export_stream)):
            graph = export(recogniser, labels)
            write_atomic(place / name, graph)
            if manifest := extended_manifest(place, name, graph):
                write_atomic(place / MANIFEST, manifest)
            print(f"{place / name}: {len(graph) / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
