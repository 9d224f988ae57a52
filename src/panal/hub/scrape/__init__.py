"""What Prometheus gets that describes the hub's runs and clusters, derived from the watch cache when it asks.

    snapshot    cache -> Snapshot (references to objects, which nobody changes); on the event loop, a few milliseconds
    runs        a run -> its series (pure)
    clusters    add-ons and authorities -> the ends of their certificates (pure)
    series      Snapshot -> all series, within the limits (pure)
    exposition  series and the process's own metrics -> text, in a thread
    readers     who may read it
    families    the name, type, labels and meaning of each metric
    reference   the page docs/reference/metrics.md

Nothing is kept in step with the runs, so the series of a run end with it. Only the leader has these series: Prometheus scrapes every
replica, each replica has the same cache, and a sum over replicas must count a run once. `panal.hub.metrics` and `panal.kube.metrics` are
the process's own metrics, which every replica has.
"""
