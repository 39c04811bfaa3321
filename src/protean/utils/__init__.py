"""Import addresses kept for users; the code lives elsewhere."""
