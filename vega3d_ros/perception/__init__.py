"""Understanding a clip: what is where, and answers about it."""
