"""Many runs: seeds of variants, sweeps, claims and what came out."""
