"""From a query to boxes: every visual token proposes one, a ``<ground>`` query scores them."""
