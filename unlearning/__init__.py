"""Make the model forget, and check it. Needs torch, transformers, peft and accelerate, nothing else."""
