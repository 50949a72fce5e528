"""Model servers behind one small interface. The only place that knows HTTP."""
