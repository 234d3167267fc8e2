"""Prefect flows, intake, policy, settings, vault, ledger and the command line: the room that knows everybody."""
