"""Published benchmarks, read as they are distributed and answered by a ``Perceiver``.

``tasks`` says of each benchmark what is asked, how it is scored and what its prediction file looks
like; ``vsi_bench`` and ``scannet`` read the data, ``runner`` asks, ``baselines`` answers without
looking, ``features`` keeps the prior's tokens on disk, ``command`` is ``vega3d benchmark``.
"""
