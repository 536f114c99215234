"""TODO: what this room is for, who calls it, what it must not know."""
