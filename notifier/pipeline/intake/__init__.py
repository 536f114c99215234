"""Takes submissions in: group commit, judge, accept, expand, dry run, schedules, cancel. T1 begins here.

Called by the doors, the jobs and the scheduler.
"""
