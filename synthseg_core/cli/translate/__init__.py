"""``synthseg translate``: one module an action."""
