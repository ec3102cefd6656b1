"""The ROS 2 side: everything that imports rclpy or message packages lives here.

``images`` and ``assembler`` need neither: they read any message-like object, from rclpy or from a
bag.
"""
