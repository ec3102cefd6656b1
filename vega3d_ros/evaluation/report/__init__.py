"""Reports: ``section`` holds tables and pictures, ``pages`` writes them by the ``templates``.

``recordings`` makes the report on recordings, ``cases`` draws its single cases.
"""
