"""`consume`, killed between our commit and the acknowledgement of its first batch, while it stores the next:
`python -m tests.bus.dying URL`.
"""

import os
import signal
import sys
from collections.abc import Sequence

from notifier.__main__ import main
from notifier.bus.source import Source, source_of
from notifier.core.bus_messages import Message
from notifier.ground.bus_urls import BusTarget
from notifier.programs import consume, consume_hold, consume_loop


def dying(target: BusTarget) -> Source:
    source = source_of(target)

    def die(_messages: Sequence[Message]) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    source.acknowledge = die  # type: ignore[method-assign]
    return source


if __name__ == "__main__":
    consume.source_of = dying
    consume_hold.MOST, consume_loop.MANY = 300, 1
    sys.exit(main(["consume", sys.argv[1]]))
