"""What Open Cluster Management's controllers do on the hub, and its agents on a managed cluster."""
