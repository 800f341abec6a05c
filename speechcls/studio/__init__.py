"""The page of ``serve``: record words, check them, train a model on them, and try it.

``project``: ``Project``, the folder of recordings, where nothing is lost. ``recording``: takes from
the sound that a browser sends. ``jobs``: work in a process of its own, ``worker`` what is done
there. ``training``: ``Training``, the one that runs or ran last. ``thresholds``:
``keep_thresholds``, in a model. ``files``: what the browser loads. ``requests``: what a request may
be. ``routes``: ``Studio``, all of its routes.
"""
