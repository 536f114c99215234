"""The scheduler's tasks: ring due deliveries, find lost doorbells and lapsed leases, close digests.

Each takes a bounded batch and passes over rows that another scheduler holds; any number of schedulers may run.
"""
