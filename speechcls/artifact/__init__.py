"""A trained model on disk: its format, how it is written, read and found.

``format``: ``Artifact``, ``SplitRow``, the file names. ``store``: ``save_artifact``,
``load_artifact``, ``load_weights``, ``load_split``, ``read_metrics``. ``lookup``:
``find_artifact``, ``find_artifacts``. ``calibration``: ``Calibration``, ``load_calibration``,
``save_calibration``.
"""
