"""The search page and its JSON API: a way in for people who have a browser and nothing else."""
