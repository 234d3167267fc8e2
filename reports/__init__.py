"""Prove what was done: statements, signatures, MLflow, the auditor's report, offline verification."""
