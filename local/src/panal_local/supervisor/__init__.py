"""Starts the parts of the local platform as processes, and restarts them.

    folder    the paths in a platform's folder                      parts     the processes of a platform (pure)
    state     the stored state: addresses, ports, tokens            process   a part as a process: fork, find, signal
    address   the reserved range of loopback addresses              keeper    the supervisor's loop
    starting  `panal up`: the state, the supervisor                 ready     waits until parts are ready
    stopping  `panal down`: stops everything

docs/design/local-platform.md describes how they work together.
"""
