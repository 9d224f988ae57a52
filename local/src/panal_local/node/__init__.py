"""The local platform's node, which runs Pods as processes. It works with any API server.

    agent       the node: registers, renews its Lease, starts a worker for each Pod      services, forward   NodePorts
    pod         the worker of a Pod: observe, decide, act, report                        logs       the server for `kubectl logs`
    decide      which container starts or ends next (pure)          status       the status of a Pod (pure)
    environment env, command and paths of a container (pure)        content      the files of ConfigMaps, Secrets, … (pure)
    volumes     folders instead of mounts                           probes       startup, readiness
    starting    starts the containers of a Pod; tokens
    records     a container's attempts, as files                    shim         the parent process of each container
    images      the image store                                     recipes      builds images

docs/design/local-node.md lists the differences from a real node.
"""
