"""The tasks of people who run the installation: retrying failed jobs, bulk actions, trials of providers and templates,
set-up.

Called by the console and the commands; each change is recorded in the audit trail.
"""
