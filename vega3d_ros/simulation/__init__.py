"""Simulated rooms with exact ground truth: clips for training and ROS 2 bags for demos.

``rooms`` describes rooms, ``primitives`` and ``furniture`` the objects in them; ``planning`` fills
rooms, ``clip_paths`` and ``camera_path`` lead a camera through them, ``renderer`` makes images
(MuJoCo over EGL). ``visibility``, ``questions``, ``referring`` and ``question_sampling`` turn
ground truth into language. ``clips`` makes clips, ``dataset`` stores them, ``recording`` writes
bags.
"""
