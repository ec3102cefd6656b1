"""The demo: a real node, a recorded drive on real topics, questions on the way, a report."""
