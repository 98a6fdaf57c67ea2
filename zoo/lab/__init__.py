"""What it takes to run a specimen: data, networks, the loop, recipes, pictures. No paper's idea lives here."""
