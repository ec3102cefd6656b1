"""The command line ``vega3d``."""
