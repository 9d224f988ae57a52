"""What everybody who uses a hub needs: the command line, the dashboard and the Python API. It prints nothing.

access             one API server                      choose             which one is used     platform           the local platform
problem            errors with a remedy, exit codes    telling            how tasks report      tasks              several at the same time

Runs:

apps               an app's folder                     run_config         values for it         manifest           a run of it
apply              resources of a file                 finding            a run by its name     following          a run until it has ended
spec_changes       what people change in a run         deleting           a run, until it ends  history            its rounds
download           files that it has stored            story              its changes, as lines  plotting          the geometry of curves
controller_lease   since when its status is not written   evidence        what the hub has sealed about it

site               a site as its owner sees it                           site_ledger        its ledger
"""
