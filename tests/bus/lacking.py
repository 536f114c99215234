"""`consume` where the library for RabbitMQ is not installed: `python -m tests.bus.lacking URL`."""

import sys

from notifier.__main__ import main

if __name__ == "__main__":
    sys.modules["pika"] = None  # type: ignore[assignment]
    sys.exit(main(["consume", sys.argv[1]]))
