"""Run a trained model on clips and streams: ONNX Runtime and NumPy, never torch."""
