"""How long after a production commit its effect can be seen, and what a backfill does to that.

writer      production: commands on a fixed schedule, from a process of its own
watcher     sees the projection row change
conditions  what else is going on meanwhile
migration   the guide's script, as a process of its own
floors      the same without the framework: notify, upsert, commit
rounds      all conditions in turn, several times, and the figures made of that
"""
