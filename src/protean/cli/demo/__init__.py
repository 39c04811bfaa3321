"""`protean demo`: the guide's story on real servers, measured, with a verdict.

command       the options, and what is printed where
workspace     a temporary copy of the example application, and its servers' end
application   the example as this process sees it
children      server, API, load and migration as processes that end with the demo
story         the acts: customers, server, idle, migrating, draining, after
load          production, in a process of its own: a steady stream of requests
watch         when the read model shows what a request did
samples       what production writes down about each request
lanes         how much of the migration is written, and handled
verification  the projection against the aggregates, row by row
latency       percentiles
verdict       what was promised, and whether it held
display       progress: bars on a terminal, lines in a pipe
report        the table, and the JSON object
chart         the picture's drawing; page: the HTML around it
"""
