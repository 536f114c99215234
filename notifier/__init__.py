"""Notifier: a self-hosted notification system. This map is the whole of it.

floor 0  core/          the rules: what may be sent, where, when, and what follows a failure.
                        Standard library only; no Flask, SQL, Redis, HTTP, clock.
floor 1  config.py      settings from the environment        clock.py ids.py  time and keys
         extensions.py  unbound Flask extensions             encryption.py    the key ring
         database.py    engine set-up and `transaction()`    models/          one aggregate a file
         channels/      one file per provider, the registry, the outbound HTTP client
         queueing.py    queue names and the doorbell          realtime/publish.py  events out
floor 2  pipeline/      the flow, a file a stage: accept facts expand render deliver sweep inbox
         queries/       read-only questions, a file per screen family
         accounts.py    sign-in, API keys           origins.py  whose pages may use a user's token
         key_use.py     when a key was used last
floor 3  api/ web/ realtime/    the doors: thin, none imports another
floor 4  app.py         create_app
floor 5  jobs.py worker.py scheduler.py up.py cli.py doctor/ __main__.py   the processes

A module imports lower floors and its own package only. Every stage takes a list. The database is
the truth and Redis the doorbell: commit, then ring. `docs/architecture.md` says why.
"""
