"""The command line. Each command calls an API server and prints the result.

The commands and their options; other modules implement them:

main               `panal`, and run, get, logs, new    model_commands     models, notebook      explain_command    explain
progress_commands  top, history                        control_commands   suspend, resume, stop, delete

What they share:

choose             which API server a command uses     access             one API server        options            of several commands
problem            exit codes; errors with a remedy    output             tables, JSON, lines   tasks              several at the same time
platform           the local platform, where the distribution panal-local is installed: its commands, and what other commands ask of it
controller_lease   since when statuses are not written, which freshness says

Runs:

run                run and get                         follow             a run's progress      apply              resources of a file
story              changes of a run, as lines          control            suspend, …, delete    spec_changes       to a run's spec
logs               the log of a run's Pods             log_filter         which lines of it     freshness          is a status current?
top                all runs on one screen              history            the rounds of a run
explain            why clusters are selected           reading            reads the hub for it  selection_report   evaluates what was read
explanation        prints it

Models:

models             list, show, download, compare       download           files of a storage    notebook           opens one on a model

Apps and their images:

apps               an app's folder, for a run          run_config         --run-config          new                a new app
package            the files for a hub                 recipe             how an image is made  requirements       what is installed in it
flower             which Flower it gets                fetch              downloads a package

The hub:

doctor             reads a hub for what is wrong       checks             the findings          probe              from a cluster to a run
certs              authorities and certificates        dashboard          starts the dashboard

reference          the list of commands in docs/reference/cli.md
"""
