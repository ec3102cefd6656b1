"""The token head: every visual token proposes a box, a query scores the tokens."""
