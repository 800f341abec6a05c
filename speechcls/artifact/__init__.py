"""A trained model on disk: its format, how it is written, read and found.

``format``: ``Artifact``, ``SplitRow``, the file names. ``store``: ``save_artifact``,
``load_artifact``, ``load_weights``, ``load_split``, ``read_metrics``.
``manifest``: ``read_file``, ``manifest_of``, the SHA-256 of each file. ``lookup``:
``find_artifact``, ``find_artifacts``. ``snapshots``: ``load_snapshots``, ``snapshot_bytes``, the
weights at the end of some epochs. ``calibration``: ``Calibration``, ``load_calibration``,
``save_calibration``. ``constants``: ``Matrix``, ``fold_norm``, ``round_rows``,
``feature_tables``, a model's numbers for other languages. ``card``: ``write_card``,
``front_matter``, the README.md of a model.
"""
