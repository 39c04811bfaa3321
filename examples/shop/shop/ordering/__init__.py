"""What can be bought, and what was.

product    the catalogue
order      orders, event sourced: what was placed, paid, shipped or cancelled, and when
years      how events of earlier years read today
summary    what a customer sees of an order
"""
