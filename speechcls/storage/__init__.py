"""Data that lies elsewhere: at addresses as ``s3://bucket/clips``, read by fsspec.

``addresses``: ``is_address``, ``read_address``, ``list_address``, ``fetch_file``. ``settings``:
``StorageSettings``, every time-out and limit. ``faults``: what an error of a store means, and
whether to try again.
"""
