"""Prove what was done: statements, signatures, the auditor's report, offline verification."""
