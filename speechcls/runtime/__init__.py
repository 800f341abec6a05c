"""Run a trained model on clips and streams: ONNX Runtime and NumPy, never torch.

``classifier``: ``Classifier``, ``Prediction``, ``Clip``. ``streaming``: ``StreamingClassifier``.
``stream``: ``PosteriorStream``, ``Posteriors``. ``detection``: ``Event``, ``Detector``,
``detect_events``, ``choose_thresholds``. ``session``: ``open_session``, ``run_windows``.
``graph``, ``shapes``, ``cost``: ``CheckedGraph``, what a graph is and takes before it is opened.
``verify``: ``verify``.
``writers``: the formats of predictions and events as lines of text.

A new output format is a function and an entry in a table of ``writers``; commands and help follow.
"""
