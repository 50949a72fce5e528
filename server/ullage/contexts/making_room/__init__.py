"""Making room before it is needed: compression, the guard's two gauges, the prompt that fits."""
