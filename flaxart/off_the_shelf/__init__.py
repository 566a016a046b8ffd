"""A frozen trunk: features are computed once, and heads learn on them."""
