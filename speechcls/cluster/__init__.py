"""Score long lists of recordings by many processes: Ray Data, on one machine or a cluster.

``connection``: ``open_cluster``, ``Cluster``. ``scoring``: ``score_list``. ``tasks``:
``PredictTask``, ``DetectTask``, what is done with each recording. ``results``: ``Results``, the
folder of the parts that are done. ``places``: files here or at an address. ``attempts``: which
recordings end the process that reads them.

Ray is imported late, by what needs it.
"""
