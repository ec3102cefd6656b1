"""vega3d_ros: spatial understanding from video for robots.

Importing this package imports neither torch nor rclpy, so that whoever needs only
``vega3d_ros.msg`` pays for nothing else.
"""

from pkgutil import extend_path

# The generated msg, srv and action modules are installed elsewhere when this runs from a checkout.
__path__ = extend_path(__path__, __name__)
__version__ = "0.1.0"
