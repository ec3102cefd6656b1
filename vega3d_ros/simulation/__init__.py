"""Simulated rooms with exact ground truth: clips for training and ROS 2 bags for demos.

``rooms`` says what stands where, ``primitives`` and ``furniture`` say what it looks like,
``planning`` fills rooms, ``paths`` and ``tour`` drive through them, ``renderer`` makes images
(MuJoCo over EGL), ``witness``, ``questions`` and ``referring`` turn ground truth into language,
``clips`` and ``dataset`` make and keep clips, ``recording`` writes bags.
"""
