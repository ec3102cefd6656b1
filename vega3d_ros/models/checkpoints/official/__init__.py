"""VEGA-3D's own checkpoints, read as they are; see ``docs/official.md``.

``layout`` says what lies where in a folder, ``wan`` reads the Wan 2.1 files, ``load`` makes the
modules, ``images`` and ``language`` prepare frames and questions as the official evaluation does,
and ``inspect``, ``download`` and ``prompt`` are the commands of that name.
"""
