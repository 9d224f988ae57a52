"""The local platform's node: Pods as processes, at any API server.

    agent       the node itself: registers, renews its Lease, gives each Pod to a worker      services, forward   NodePorts
    pod         one Pod: observe its files and its object, decide, do, tell                   logs       what `kubectl logs` reads
    decide      which container starts or ends next (pure)          status       what to tell the API server (pure)
    environment env, command and paths of a container (pure)        content      the files of ConfigMaps, Secrets ... (pure)
    volumes     folders in the place of mounts                      probes       startup, readiness
    starting    what a container's process gets, tokens (one Pod)
    records     a container's attempts, as files                    shim         the small program around each container
    images      the image store                                     recipes      makes images

docs/design/local-node.md says what is as on a real node, and what is not.
"""
