"""`make bench`: how fast this installation's code is on this machine, beside stock RQ on the same machine.

`__main__` runs the `measures` against an `installation` (a database, a Redis, real processes), and prints
a table and a JSON line. `worker`, `sink`, `load`, `listen` and `person` are programs it starts, so that
whoever measures takes no time from what is measured.
"""
