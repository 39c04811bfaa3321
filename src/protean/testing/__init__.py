"""What tests of protean and of its users are made with."""
