"""A shop: orders, stock and payments, and what keeps the three together.

domain        the bounded context, and who its requests come from
money         amounts
ordering      what can be bought, and what was
inventory     what is on the shelves, and whom it is promised to
payments      what was asked of the payment provider, and what that said
fulfilment    the process that leads an order through all three
sales         what sells, for those who buy in
"""
