"""Released with Notifier, and with its version."""

VERSION = "1.0.0"
