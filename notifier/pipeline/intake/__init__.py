"""Takes submissions in: group commit, judging, accepting, expanding, dry runs, schedules, cancelling. T1 begins here.

Called by the doors, the jobs and the scheduler.
"""
