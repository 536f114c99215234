"""What the bench sends, to whom, and as whom. Imports nothing of ours, so that its programs start fast."""

KEY = "a-producer-key-of-the-bench-0123456789"
TYPE, CATEGORY = "order_shipped", "transactional"
DATA = {"order_id": "A123", "carrier": "DHL", "tracking_url": "https://track.example/A123"}
PEOPLE, CROWD = "person", 2_000  # `person0` … with an e-mail address and a phone each
PROJECT, TWILIO_ACCOUNT = "bench", "AC" + "0" * 32  # the accounts at Google and Twilio
