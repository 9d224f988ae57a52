"""A Kubernetes API server for one person on one machine: HTTPS on loopback over SQLite, in the place of kube-apiserver and etcd.

    run         puts all of it together           requests, answers, errors    what comes in, what goes out
    server      HTTP: paths, bodies, streams      verbs    what each method does       reads    get, list, watch
    writes, admission, deletion    every write           apply, fields   server-side apply: structured merge, and who owns what
    store       SQLite, memory, history           kinds    what is served              builtin  schemas of built-in kinds
    schema      prune, default, check             custom   CRDs                        rules, cel  their rules
    defaults, checks, certificates    what is particular to built-in kinds             patch, selectors, table
    discovery, openapi, protobuf  what clients ask first    tls, identity, logs

docs/design/local-apiserver.md says what is and is not served.
"""
