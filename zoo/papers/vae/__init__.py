"""The VAE and beta-VAE, baselines that other papers may use."""
