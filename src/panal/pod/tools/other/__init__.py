"""The programs of the runtime `other`, which start the user's command:

codes         names that the hub and the programs share
aggregator    the container server of the aggregator
collaborator  the container client of a collaborator
checkpoints   hands the server's checkpoints over, and checks that it goes on from the one that it is given
command       what both do before: the working directory, the environment, the start
"""
