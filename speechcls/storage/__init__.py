"""Data that lies elsewhere: at addresses as ``s3://bucket/clips``, read by fsspec.

``addresses``: ``read_address``, ``list_address``, ``fetch_file``. ``streams``: ``open_file``, here
or at an address. ``places``: ``is_address``, where in the cache folder the files of one are
(``local_path``), and what to call them (``shown``).
``mirror``: ``bring_folder``, ``bring_files``, which fetch what is new or changed; ``stamps`` is the
record of that. ``ahead``: ``fetch_ahead``, for files that are used once and not kept. ``settings``:
``StorageSettings``, every time-out and limit. ``faults``: what an error of a store means, and
whether to try again.
"""
