"""Off the shelf: features of a frozen trunk are computed once, and heads learn on them."""
