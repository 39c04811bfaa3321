"""The command `protean`: one file per command group, and what they share.

main       the application: its commands, and what an error looks like
grammar    options that several commands take, and how help is laid out
opening    from `--domain` to a domain that can be asked
output     tables, JSON, and texts of others made harmless

server, dev        starting engines; serving is what both do
db                 tables
lanes, outbox      looking at what is on its way; lane_report finds the figures
dlq                dead letters; failures says which are meant and shows them, replay carries out what was decided
"""
