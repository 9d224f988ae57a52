"""The dashboard: pages about the hub, its clusters and its runs. HTML that the server renders, and that it updates while somebody looks.

main       start on a laptop and on a hub           app           the routes                view      what a page and its updates share
pages      the views of the hub                     run_pages     the views of a run        template  the HTML
security   headers, origin, CSRF, who may ask       viewer        whose permissions count   rights    what these permissions are
settings   of a hub's dashboard                     watched       the kinds in the watch cache
index      a row for each run and cluster           rows          how a row is made         listing   filter, sort and page of a list
feed       the objects of one run                   run           what the pages of a run say
run_clusters  what each cluster of a run does       selection     why clusters are selected
timeline   the rounds of a run                      compared      another run beside it     curves    the series of its history
chart      a chart as SVG                           logs          the aggregator's log
live       updates while somebody looks             bell          something has changed
actions    suspend, resume, stop, more rounds       assets        style and scripts
"""
