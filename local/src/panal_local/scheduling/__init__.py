"""The clusters that a Placement selects, as Open Cluster Management's placement controller selects them. Pure: `schedule.schedule`."""
