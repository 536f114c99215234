"""The console, `/admin/`: what fails and why, the story of any notification, and everything that is managed."""
