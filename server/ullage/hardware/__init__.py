"""What memory this machine has and how much of it is free: the only part that knows a vendor."""
