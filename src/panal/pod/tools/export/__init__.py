"""The export of a model by a function of the app, in the app's image: `run.py export run MODULE:FUNCTION FOLDER`."""

FILES, REPORT = "files", "report.json"  # in the folder: what the function writes, and what is known about it
