"""Training: the prior on unlabelled clips, the semantic encoder on names, the rest on answers."""
