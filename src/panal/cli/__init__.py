"""The command line. Each command calls an API server or the local platform and prints the result.

main      the commands and their options        access    which API server a command uses
problem   exit codes; errors with a remedy       output    tables, JSON, lines
local     up, down, status, image build          platform  what panal installs on the local platform
run       run and get                            follow    prints a run's progress      apply  resources of a file
folder    a run from an app's folder             logs      the log of a run's Pods   new    a new app
story     changes of a run, as lines             tasks     several coroutines at the same time
reference the list of commands in docs/reference/cli.md
"""
