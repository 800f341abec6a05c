"""Data that lies elsewhere: at addresses as ``s3://bucket/clips``, read by fsspec.

``addresses``: ``is_address``, ``read_address``, ``list_address``, ``fetch_file``. ``places``: where
in the cache folder the files of an address are (``local_path``), and what to call them (``shown``).
``mirror``: ``bring_folder``, ``bring_files``, which fetch what is new or changed; ``stamps`` is the
record of that. ``ahead``: ``fetch_ahead``, for files that are used once and not kept. ``settings``:
``StorageSettings``, every time-out and limit. ``faults``: what an error of a store means, and
whether to try again.
"""
