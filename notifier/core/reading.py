"""Which deliveries become needless when a notification is read in the inbox.

Called by `inbox.marks` in the transaction of the mark, by `core.routing`, and before waiting deliveries go out.
"""

READ_ELSEWHERE = "read_elsewhere"

# The reasons for which a delivery waits that would only repeat a notification already read: a later escalation step,
# and one held until the person may be disturbed again. A delivery scheduled for a certain time, a try that
# failed and a step of routing `first` are no reminders; and a queued delivery is on its way.
REMINDERS = frozenset({"escalation", "quiet_hours", "muted"})
