"""What panal's command line does on the local platform. The only part that knows what runs on the platform.

entry     the commands and their options; what `panal.client.platform` asks for
platform  up, down and status                 install  installs panal on the hub      addons  and its add-on
folder    a run from an app's folder          data     the app's data on each cluster
images    images of apps, and panal's own     errors   the platform's errors as errors of commands
"""
