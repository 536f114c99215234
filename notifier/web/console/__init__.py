"""The console, `/admin/`: what fails and why, the history of each notification, and everything that admins manage."""
