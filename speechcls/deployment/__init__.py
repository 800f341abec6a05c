"""A trained model in the form that other programs and machines run, without torch.

``export``: ``export_model``, ``TARGETS``, what a model can be exported to. ``check``: ``Clips``,
``Agreement``, ``Limits``, how an export is compared with its model. ``graphs``: the ONNX graphs as
they are. ``quantise``: the same in int8. ``c_network``, ``c_code``, ``c_program``: C99 of a causal
network. ``litert``: graphs of LiteRT. ``web``: a page. ``bundle``: the texts and the
``export.json`` that every export has.

A new target is a function and an entry in ``TARGETS``; ``files`` holds what is copied.
"""
