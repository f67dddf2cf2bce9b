"""Fill a backbone with tensors, wherever they come from: `loading` does it, one file of `sources` is one source."""
