"""Files of sound byte by byte: where the samples are, how many, and whether some are cut off.

``splice``: ``Contents``, ``Spliced``. ``headers``: ``find_wav_contents``, ``judge_behind``.
``flac``: ``find_flac_contents``. ``mpeg``: ``find_mp3_contents``. ``ogg``: ``find_ogg_contents``.
``ends``: ``find_cut``, ``judge_end``. ``units``: ``find_units_end``.
"""
