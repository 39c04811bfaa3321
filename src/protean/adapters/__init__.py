"""What stands behind the ports. Only the composition root and the test kit choose one of these."""
