"""Which deliveries become needless when a notification is read in the inbox.

Called by `inbox.marks` in the transaction of the mark, by `core.routing`, and before waiting deliveries go out.
"""

READ_ELSEWHERE = "read_elsewhere"

# Why a delivery may be waiting, of those that would only repeat what has been read: a later step of an escalation,
# and what was kept for when the person may be disturbed again. What was submitted for a certain time, a try that
# failed and a step of routing `first` are no reminders; and what is queued is on its way.
REMINDERS = frozenset({"escalation", "quiet_hours", "muted"})
