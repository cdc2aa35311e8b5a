"""Sources: what feeds the tree. Each package exports `create(context) -> Source`."""
