"""The orchestration: settings, policy, requests, vault, ledger, Prefect flows, the command line."""

# before anything here imports prefect, mlflow or transformers
from flows import environment as environment
