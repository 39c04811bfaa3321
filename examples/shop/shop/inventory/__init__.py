"""What is on the shelves, and whom it is promised to.

stock    one aggregate a product: who takes the last one is decided by its version, not by a lock
"""
