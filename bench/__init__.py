"""`make bench`: how fast this installation's code is on this machine, as shares of what the machine can do at best.

`__main__` runs the `measures` against an `installation` (a database, a Redis, real processes), each beside its
yardstick (`yardsticks`, `shares`), and prints a table. `worker`, `sink`, `load`, `bare` and others are programs it
starts, so that whoever measures takes no time from what is measured; `janitor` ends them if the bench is killed.
"""
