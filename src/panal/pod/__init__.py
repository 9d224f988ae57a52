"""The programs in the Pods of a run.

The reporter, a container of the aggregator:

reporter       puts its parts together, and ends them     settings         from its environment     state     what it knows of the run
record_reader  reads what happens in the run              fold             records to progress       history   rounds to rows
progress_map   writes the ConfigMap with the progress     historian        stores the history
models         stores models, answers the launcher        collecting       stores the app's files
checkpointing  a checkpoint in the storage                checkpoint_keeper  stores them during the run
gatekeeper     keeps the gateway's files up to date       followers        start `tracking`: MLflow, traces
initial_model  the model with which the run begins        bringer          brings it to the aggregator
evaluation     the table of an evaluation                 evaluator        stores it
pausing        between two passes

Storage:

publishing     a folder of a volume, or a bucket          storing          a model in the folder     shelf     where checkpoints are
tensors        a model as safetensors                     boosters         one of XGBoost, CatBoost
bucket         the objects of a run                       service          requests to it            parts     of a large file
storage_errors what an error of a bucket means

Programs of other Pods:

collaborator   the init container at a site               giving           a file for a download
probe          the way from a site to an aggregator

Jobs after a run, which work on its stored model:

fetching       the first step: copies the model           run_folder       the run's folder in its storage
exporting      stores what the app has exported           validating       stores what a validation has found
registering    registers it                               registries       in MLflow, in a Kubeflow Model Registry

tools          what runs in users' images; needs Python 3.10 and its standard library alone
"""
