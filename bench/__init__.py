"""How fast and how small the server is, against baselines that are measured in the same run."""
