"""The program at a site that applies the SitePolicy: it admits Pods of runs, answers their gateways, and keeps the ledger.

The site's owner installs it with the owner's own credentials; nothing on the hub does. Decisions are in `panal.site`.
"""
