"""Many runs: seeds of variants, sweeps, and claims with their verdicts."""
