"""The programs of the FLARE runtime, and what runs in FLARE's processes:

codes      names that the hub and the programs share
server     the container server of the aggregator: starts FLARE's server, and ends with the run's result
client     the container client of a collaborator: starts FLARE's client, and keeps it running
job        the job folder: found, checked, adapted to the run
kit        the startup kits: the settings of FLARE's server and client for this run
flare      the supported version, the environment and the processes of FLARE
start      runs a program of FLARE, with its hooks
launchers  components of FLARE's server and client: run the process of a job by `start`
hooks      which modules of FLARE are patched, by `channel` with the gate's rules, `peers`, `events` and `deployed`
gate       which messages a cluster may send
operator   a component of FLARE's server: submits the job, and starts it at clients that join later
recorder   a component of the job: writes the records, and hands the model over
journal    the records of the rounds
resumable  which jobs another server can go on with
checkpoints the checkpoints of such a job, and how the next one begins
state      the model as JSON and arrays, exactly
"""
