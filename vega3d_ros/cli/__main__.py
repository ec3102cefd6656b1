"""Runs ``vega3d`` as ``python -m vega3d_ros.cli``."""

import sys

from vega3d_ros.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
