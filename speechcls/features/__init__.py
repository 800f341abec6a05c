"""Samples to log-mel energies and MFCCs, in torch, and as operators ONNX can export."""
