"""People: profiles, addresses, choices and suppressions, and what the planner needs to know of them.

Who may change what is decided by the doors and `access`.
"""
