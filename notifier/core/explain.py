"""A decision in words: one sentence for each line of a plan's trace.

The same for a dry run, the stored decision, the admin's story and a person's "why".
"""

from notifier.core.plan import BECAUSE, REASONS, Step


def sentence(step: Step) -> str:
    if step.reason == "at_once":
        return "To be sent at once."
    until = f" Due {step.detail['until']}." if "until" in step.detail else ""
    return {**BECAUSE, **REASONS}.get(step.reason, step.reason) + until
