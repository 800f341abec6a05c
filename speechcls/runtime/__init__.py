"""Run a trained model on clips and streams: ONNX Runtime and NumPy, never torch.

``classifier``: ``Classifier``, ``Prediction``, ``Clip``. ``streaming``: ``StreamingClassifier``.
``stream``: ``PosteriorStream``, ``Posteriors``. ``detection``: ``Event``, ``Detector``,
``detect_events``, ``choose_thresholds``. ``session``: ``open_session``, ``run_windows``.
``writers``: the formats of predictions and events as lines of text.
"""
