"""The command line. Thin: each command asks an API server or the local platform, and says what it was told.

main      the commands and their options        access    which API server, and why that one
problem   exit codes; errors with a remedy       output    tables, JSON, lines
local     up, down, status, image build          platform  what panal adds to a bare local platform
run       run and get                            follow    a run until its end       apply  resources of a file
folder    a run from an app's folder             logs      the log of a run's Pods   new    an app of one's own
    story     what happened to a run, in lines     tasks    several things at the same time
"""
