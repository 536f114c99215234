"""What several adapters share: the HTTP client and its allowed targets, SMTP connections, and writing mails."""
