"""One file a provider: this listing is the list of what Notifier can send through."""
