"""Notifier: a self-hosted notification system. Its rooms, bottom to top; a room imports rooms above it in this list.

core               the rules: what may be sent, where and when, and what follows a failure; standard library only
ground             what everything stands on: settings, clock, ids, encryption, database, logs, metrics, traces, tokens
batchworker        an RQ worker that runs many jobs at once; knows nothing of notifications
models             the tables
channels           channels and their adapters, one file a provider; the HTTP and SMTP clients they share
signals            what goes through Redis and may be lost: doorbells, inbox events, signs of life
ledgers            what is counted or written across notifications: moves, audit, caps, spend, scores, digests
queries            read-only questions, a file for each family of screens
inbox              the items of a person's inbox, and the marks on them
people             profiles, addresses, choices, consent, suppressions, erasures
providers          accounts of providers, flags, health, pausing
sinks              where the event stream goes: files, Kafka, HTTP collectors
bus                message buses that events come in by: Kafka, RabbitMQ, SQS, Redis Streams
words              templates and data in, a message's words out
catalogue          what can happen: event types, their schemas and templates, and those that are shipped
pipeline.planning  decides and stores a batch, inside the caller's transaction (T1)
pipeline.intake    takes submissions in: judge, accept, expand, dry run, schedules, cancel
pipeline.delivery  claims, sends and records (T2, send, T3)
subscriptions      status webhooks: who subscribes to events, and telling them
pipeline.upkeep    what is due, lost or lapsed, again and again; counts; the synthetic person
access             who may come in: accounts, sessions, keys, roles, sign-in, passkeys, OpenID, invitations
cells              other installations, each with the people of its region: who lives where, calls to and from them
operations         what those who run it do: retry, bulk actions, encrypting anew, trials, installation
api                the producers' and people's HTTP API
web                the pages, of people and of the console
realtime           the Socket.IO namespaces
app                create_app
jobs               what RQ calls; its name stands in Redis
programs           the commands and processes: up, worker, scheduler, sink, doctor, cli
__main__           `python -m notifier`

The doors (api, web, realtime) never import each other. `tests/test_architecture.py` reads this very list.
"""
