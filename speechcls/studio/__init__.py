"""The page of ``serve``: record words, check them, train a model on them, and try it.

``project``: ``Project``, the folder of recordings, where nothing is lost. ``recording``: takes from
the sound that a browser sends. ``jobs``: work in a process of its own, ``worker`` what is done
there. ``training``: ``Training``, the one that runs or ran last. ``files``: what the browser loads.
``routes``: ``Studio``, all of its routes.
"""
