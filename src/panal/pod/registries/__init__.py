"""Where a model is registered, as `spec.publish` names it. `panal.pod.registering` has the loop.

mlflow          a version in MLflow                     packing   its files: a folder that MLflow loads
model_registry  one in a Kubeflow Model Registry        lineage   where the model comes from, for both
"""
