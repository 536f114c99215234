"""Socket.IO: `gateway` for inboxes, `console` for the console's pages, `door` for what both share.

Other processes send their events with `signals.publish`.
"""
