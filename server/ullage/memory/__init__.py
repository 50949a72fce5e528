"""How much fits, and what to do when it does not. Pure: values in, values out."""
