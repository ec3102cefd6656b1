"""Where clips, questions and truth come from.

Recordings: ``offline`` runs one through the node's code, ``live`` brings a live run into the same
form, ``questions`` and ``truth`` tell what is asked and what is right. Published benchmarks:
``benchmark`` has what they share, ``vsi_bench`` and ``scannet`` read them as they are distributed
(``plain_pickle``), ``features`` keeps the prior's tokens on disk.
"""
