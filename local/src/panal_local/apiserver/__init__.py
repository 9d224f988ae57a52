"""A Kubernetes API server for one person on one machine. It replaces kube-apiserver and etcd: HTTPS on loopback, objects in SQLite.

    run         starts the server                 requests, answers, errors    requests and responses
    server      HTTP: paths, bodies, streams      verbs    what each method does       reads    get, list, watch
    writes, admission, deletion    writes                apply, fields   server-side apply: structured merge and field ownership
    store       SQLite, memory, history           kinds    the served resources        builtin  schemas of built-in kinds
    schema      prune, default, check             custom   CRDs                        rules    the CEL rules of CRDs
    defaults, checks, certificates    behavior of single built-in kinds                patch, selectors, table
    discovery, openapi, protobuf  the API's description     tls, identity, logs

docs/design/local-apiserver.md describes what the server supports.
"""
