"""What survives everything: SQLite, migrations, locks. The only place that knows SQL and file names."""
