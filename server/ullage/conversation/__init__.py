"""What was said, and what the model sees of it. Pure: values in, values out."""
