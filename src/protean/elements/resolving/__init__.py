"""Fitting the elements of one family together, each in a module; `resolution` calls them."""
