"""People: profiles, addresses, preferences and suppressions, and reading them for planning.

Called by the doors, `access` and the pipeline, which decide who may change something.
"""
