"""A trained model as graphs of LiteRT (TensorFlow Lite), for phones and microcontrollers.

``graph``: ``Graph``, which writes operators and tensors, of floats or of rounded integers.
``file``: ``File``, how they are stored. ``features``: samples to features. ``cells``, ``network``:
features to logits. ``model``: ``clip_graph``, ``stream_graph``, all of it. ``engine``: ``Engine``,
which runs a graph, and ``find_ranges`` of its results.

A new cell is a class and an entry in ``CELLS`` in ``cells``, its architectures are in ``FORMS`` in
``network``.
"""
