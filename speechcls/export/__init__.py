"""A trained recogniser as an ONNX graph.

``onnx`` exports and checks ``model.onnx`` and ``stream.onnx`` (``export_onnx``, ``export_stream``),
``streaming`` has the modules of the latter, which carry states from block to block.
"""
