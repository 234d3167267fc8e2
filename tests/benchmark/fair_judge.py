"""Run fairlearn's post-processing on the ensembles of `tests/unlearning/test_fairness.py`; print its errors.

    python -m tests.benchmark.fair_judge

Needs fairlearn, which Lethe does not use. `ThresholdOptimizer` (Hardt et al. 2016, on a grid of false positive rates)
mends a score. Given the vote it does what `post` does; given how often what the members said was right in a group, its
thresholds and their mixtures are all answers that can be derived from it, so that it does what `in` does. Its numbers
stand in `FAIRLEARN` there.
"""

import numpy as np
import pandas as pd
from fairlearn.postprocessing import ThresholdOptimizer
from sklearn.base import BaseEstimator

from tests.unlearning.test_fairness import JUDGED, biased
from unlearning.fairness import Calibration, majority

GRID = 20_000


class Known(BaseEstimator):
    """An estimator whose score is the first column of what it is asked about."""

    fitted_ = True

    def fit(self, *_: object) -> "Known":
        """Nothing is learnt."""
        return self

    def predict(self, rows: pd.DataFrame) -> np.ndarray:
        """The score."""
        return rows.iloc[:, 0].to_numpy()


def error(texts: Calibration, score: np.ndarray) -> float:
    """The expected error of fairlearn's answer on the set it was fitted on."""
    rows, truth = pd.DataFrame({"score": score}), texts.labels.numpy().astype(int)
    mended = ThresholdOptimizer(
        estimator=Known(),
        constraints="equalized_odds",
        objective="accuracy_score",
        grid_size=GRID,
        prefit=True,
        predict_method="predict",
    ).fit(rows, truth, sensitive_features=list(texts.groups))
    chance = mended._pmf_predict(rows, sensitive_features=list(texts.groups))[:, 1]
    return float(np.mean(np.where(truth == 1, 1 - chance, chance)))


def right(texts: Calibration) -> np.ndarray:
    """For each text the share of true ones among those of its group of which the members say the same."""
    frame = pd.DataFrame(texts.votes.numpy().astype(int))
    frame["group"], frame["truth"] = list(texts.groups), texts.labels.numpy().astype(float)
    said = [c for c in frame.columns if c != "truth"]
    return frame.groupby(said)["truth"].transform("mean").to_numpy()


def main() -> None:
    """Print (members, seed): (post, in)."""
    for members, seed in JUDGED:
        texts = biased(members, 4000, seed)
        vote = majority(texts.votes).numpy().astype(float)
        found = error(texts, vote), error(texts, right(texts))
        print(f"({members}, {seed}): ({found[0]:.5f}, {found[1]:.5f}),")


if __name__ == "__main__":
    main()
