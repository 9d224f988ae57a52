"""The policy of a site: what its owner allows, and every decision about it, without input or output. `panal.site_controller` applies them.

policy             the SitePolicy                      crd                its CustomResourceDefinition
request            what a Pod asks                     form               the form that such a Pod has
decide             whether it may run, or send         codes              why not
in_force           the present policy, and what it says about a Pod

flower             what is in Flower's requests        wire               the encoding of these
sending            the replies that are under way      accounts           what has left, from the ledger
budgets            what updates cost of privacy budgets entries           the kinds of entries of the ledger
report             what the owner of the site sees of runs, from the ledger
record             the RunRecord, and who gets none    known              what a receipt says about a run, from the ledger
certificates       of the site controller           reference         the page about the SitePolicy
"""
