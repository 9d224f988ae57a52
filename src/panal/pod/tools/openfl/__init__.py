"""The programs of OpenFL's containers: `aggregator` on the hub, `collaborator` at each site."""
