"""`doctor`: looks at an installation from outside and says, for whatever is wrong, what to do about it.

It creates and changes nothing. A file for each area; `examination` runs them beside each other, `report` tells what
they found.
"""
