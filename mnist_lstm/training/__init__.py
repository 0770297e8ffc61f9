"""Everything around `lightning.Trainer`; the only folder that imports Lightning."""
