"""Access to API servers: client, watch cache, work queue, leader election, Events.

    client.Client          get, list, watch, server-side apply, patch, delete              errors.*  the exceptions that they raise
    cache.Cache            list and watch of some kinds, in memory, with indexes           kinds.*   the kinds that panal uses
    queue.WorkQueue        keys to reconcile: each once, one worker per key, backoff       objects   readers of plain JSON objects
    loop.Loop              watch, queue and a reconcile function, combined
    lease.LeaderLease      leader election between controllers
    times, clock, backoff  Kubernetes' time formats; a clock that tests can replace; growing delays
    events.EventRecorder   writes what `kubectl get events` shows
    signing_key            a key in a Secret, which is made if there is none
    logs, process          the log format of processes; how they run until SIGTERM, and say what ended them

The package contains nothing about federated learning except the name of its resource. Only `connection` uses the client library.
"""
