"""Networks: priors, fusion, language models, detectors, grounders and their checkpoints."""
