"""A trained recogniser in the formats of other engines: ONNX; another one is a module beside it.

``onnx`` exports and checks ``model.onnx`` and ``stream.onnx`` (``export_onnx``, ``export_stream``),
``streaming`` has the modules of the latter, which carry states from block to block. ``modules`` is
what an exporter of another format (TFLite) starts from: ``exportable`` and ``ProbabilityModule``.
"""
