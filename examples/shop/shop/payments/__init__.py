"""What was asked of the payment provider, and what that said.

payment     one aggregate a payment, which knows which news can still come
provider    to the provider and back: an event handler that asks, a subscriber to the provider's stream
acmepay     stands for the provider
"""
