"""The command line. Each command calls an API server and prints the result. `panal.client` has what it shares with other users of a hub.

The commands and their options; other modules implement them:

main               `panal`, and run, get, logs, new    model_commands     models, notebook      explain_command    explain
progress_commands  top, history                        control_commands   suspend, resume, stop, delete
serve_command      serve                               site_commands      site …             evidence_commands  evidence …

What they share:

output             tables, JSON, lines                 options            of several commands
platform           commands of the local platform      fitting            a line to a width
completion         of names in a shell                 kubectl_completion of `kubectl fl`

Runs:

run                run and get                         follow             a run's progress      control            suspend, …, delete
logs               the log of a run's Pods             log_filter         which lines of it     freshness          is a status current?
top                all runs on one screen              history            the rounds of a run
evaluated          prints an evaluation                evidence           written into a file, examined
explain            why clusters are selected           reading            reads the hub for it  selection_report   evaluates what was read
explanation        prints it

Models:

models             list, show, download, compare       notebook           opens one on a model

Served models:

serve              the actions of `panal serve`        served             reads and writes   rollout            changes a version
proving            which model has answered

Apps and their images:

new                a new app                           package            the files for a hub   recipe             how an image is made
requirements       what is installed in it             flower             which Flower it gets  fetch              downloads a package

The hub:

doctor             reads a hub for what is wrong       checks             the findings          probe              from a cluster to a run
certs              authorities and certificates        dashboard          starts the dashboard

A site, for its owner:

site               what is there, answers     site_ledger        what has left

reference          the list of commands in docs/reference/cli.md
"""
