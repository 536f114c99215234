"""`doctor`: examines an installation from outside and says how to mend what is wrong.

It changes nothing. A module for each area; `examination` runs their checks in parallel, `report` prints the findings.
"""
