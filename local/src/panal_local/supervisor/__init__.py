"""Starts the parts of the local platform as processes, and starts again what ends.

    folder    where everything of a platform lies                   parts     which programs a platform consists of (pure)
    state     what was chosen once: addresses, ports, tokens        process   one part as a process: fork, find, end
    address   the range of loopback addresses that is ours          keeper    the supervisor's loop
    starting  `panal up`: the state, the supervisor                 ready     what is up, and what is not yet
    stopping  `panal down`: ends everything

docs/design/local-platform.md tells how they fit together.
"""
