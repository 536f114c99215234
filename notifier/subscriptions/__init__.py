"""Status webhooks: who subscribes to the event stream, and telling them.

`registered` changes what the API and the console manage; `queries.subscriptions` shows it. A worker takes a
subscription's turn (`turn`): reads events from where it stopped, posts them (`sending`) and records what became of them
(`record`). `due` is called by the scheduler.
"""
