"""The clip that the default plant's camera shows: drawn by `render`, so that it is ours to ship."""
