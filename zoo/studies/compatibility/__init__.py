"""Which stories, guides and objectives fit each other."""
