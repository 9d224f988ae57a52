"""What follows a run besides the hub, as `spec.tracking` names it: MLflow and an OTLP endpoint. `panal.pod.followers` starts and ends them.

follower   what they have in common                    settings  where they are
server     requests to a server                        mlflow_api  those to MLflow, also for the publication
unsent     which rounds one has not got yet (pure)
mlflow     sends the run to MLflow                     points    what MLflow gets (pure)
otlp       sends the run's trace to an OTLP endpoint   trace     what is in the trace (pure)
"""
