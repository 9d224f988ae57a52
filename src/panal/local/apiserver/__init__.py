"""The Kubernetes API over SQLite, for one machine: what panal and the everyday kubectl commands use."""
