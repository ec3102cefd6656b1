"""The demo: a node, a recording on real topics, questions meanwhile, a report."""
