"""One training on several processes, which torchrun starts, as if it were on one.

``place`` says which of the processes this one is, without torch; ``group`` is what they do
together: ``joined``, ``Group``, ``ALONE``. ``machine`` reads data once for all processes of a
machine; ``batch_norm`` normalises by the whole batch, of which each process has some rows.
"""
