"""The command line. Each command calls an API server and prints the result.

main      the commands and their options        choose    which API server a command uses     access  one API server
problem   exit codes; errors with a remedy      output    tables, JSON, lines
platform  the local platform, where the distribution panal-local is installed: its commands, and what other commands ask of it
run       run and get                           follow    prints a run's progress             apply   resources of a file
apps      an app's folder, for a run            logs      the log of a run's Pods             new     a new app
package   the files for a hub                   recipe    how an app's image is made          flower  which Flower it gets
story     changes of a run, as lines            tasks     several coroutines at the same time
changing  what people change in a run's spec    explained why clusters are selected, evaluated  dashboard starts the dashboard
reference the list of commands in docs/reference/cli.md
"""
