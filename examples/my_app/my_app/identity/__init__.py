"""Who our customers are.

domain          the bounded context
customer        the aggregate: what can be done to a customer, and what is told about it
customer_view   the read model that the API shows, and the projector that keeps it
"""
