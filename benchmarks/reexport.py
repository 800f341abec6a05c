"""Write ``model.onnx`` of models again from their weights, as this release exports it.

``reexport.py MODEL...``; nothing is trained, and the probabilities are the same within 1e-4.
"""

import sys
from pathlib import Path

from speechcls.artifact import ONNX, load_artifact
from speechcls.export import export_onnx
from speechcls.finetuning import load_recogniser


def main() -> None:
    """Write each graph whole or not at all."""
    for place in map(Path, sys.argv[1:]):
        artifact = load_artifact(place)
        graph = export_onnx(load_recogniser(artifact), list(artifact.labels))
        scratch = place / f".{ONNX}"
        scratch.write_bytes(graph)
        scratch.rename(place / ONNX)
        print(f"{place / ONNX}: {len(graph) / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
