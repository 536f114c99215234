"""One file per provider: this directory is the list of what Notifier can send through."""
