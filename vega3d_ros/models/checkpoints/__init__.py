"""Model folders: what they hold, what memory they need, reading and writing them."""
