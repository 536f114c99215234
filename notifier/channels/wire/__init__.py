"""What several adapters share on the wire: the HTTP client and its targets, SMTP, the composing of mails."""
