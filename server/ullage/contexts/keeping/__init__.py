"""What is kept beside the window: snapshots, exports; what is found again, and what is erased."""
