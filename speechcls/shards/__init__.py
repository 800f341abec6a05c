"""Data sets in a few large files instead of many small ones, for clusters and object stores.

``encode``: the bytes of one clip, as it was or without loss. ``write``: ``write_shards``, Parquet
as the Hugging Face Hub has it, or tars as WebDataset reads them. ``layouts`` reads both.
``members``: recordings read where they lie in a shard.
"""
