"""Simulated rooms with exact ground truth: clips for training and ROS 2 bags for demos.

``rooms`` plans what stands where, ``primitives`` and ``furniture`` say what it looks like,
``paths`` drives through it, ``renderer`` makes images (MuJoCo over EGL), ``questions`` turns ground
truth into questions and answers, ``dataset`` keeps clips on disk, ``recording`` writes bags.
"""
