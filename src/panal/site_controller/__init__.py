"""The program at a site that applies the SitePolicy: it admits Pods of runs, answers their gateways, and keeps the ledger. Decisions are in
`panal.site`. The site's owner installs it; nothing on the hub does.

main               the process                         settings           from its environment
gate               Pods wait, run or are stopped       checks             what gateways ask
traffic            what has left is counted            access             what gateways need: token, certificates
book               the ledger's files                  ledger             prints it
records            receipts about the records of runs
"""
