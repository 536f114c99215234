"""Inbox events: `publish` sends them from any process, `gateway` hands them to the browsers connected here."""
