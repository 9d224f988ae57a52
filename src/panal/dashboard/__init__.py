"""The dashboard: pages about the hub, its clusters and its runs. HTML that the server renders, and that it updates while somebody looks.

main      start on a laptop and on a hub           app       the routes                        view     what a page and its updates share
pages     the views of the hub                     run_pages the views of a run
security  headers, origin, CSRF, who may ask       viewer    whose rights count                rights   what those rights are
settings  of a hub's dashboard                     spokes    the clusters of a run             bell      something has changed
watched   the kinds in the watch cache             index     a row for each run and cluster    rows     how a row is made
listing   filter, sort and page of a list          feed      the objects of one run            run      what the pages of a run say
curves    the series of a run's history     chart    a chart as SVG
chosen    why clusters were chosen                 logs      the aggregator's log              live     updates while somebody looks
actions   suspend, resume, stop, more rounds       assets    style and scripts                 template the HTML
"""
