"""What those who run the installation do: retry dead letters, act on many, try a provider or a template, set up.

Called by the console and the commands; each change stands in the audit trail.
"""
