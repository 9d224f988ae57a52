"""Talking to an API server: one client, a cache kept by watches, a queue of work, leadership, Events.

    client.Client          get, list, watch, server-side apply, patch, delete          errors.*  what they raise
    cache.Cache            list + watch of some kinds, in memory, with indexes          kinds.*   the kinds panal knows
    queue.WorkQueue        keys to reconcile: once each, one worker a key, back-off     objects   readers of plain JSON objects
    loop.Loop              watch, queue and a reconcile, put together
    lease.LeaderLease      one leader among several controllers
    times, clock, backoff  times as Kubernetes writes them; a clock that tests move; growing waits
    events.EventRecorder   what `kubectl get events` tells
    logs                   how processes log

Knows nothing of federated learning but the name of its resource. Only `connection` sees the libraries beneath.
"""
