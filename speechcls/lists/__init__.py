"""Lists of recordings, however long, read as a stream.

``clip_list``: ``ClipList``, a list or a folder of lists, here or at an address, compressed or not.
``forms``: the paths in one of them: text, CSV, JSON lines or Parquet. ``compression``: what the
ending of a name says of that.
"""
