"""Numbers as a reader wants them: counts with thin spaces, percents and intervals without false
precision.
"""

from math import isfinite, isnan

from domain.outcomes import Estimate

NOTHING = "\u2013"  # an en dash, where nothing was measured
_NARROW, _MINUS = "\u202f", "\u2212"  # narrow no-break space; a true minus sign
_TIMES = "\u00d7"
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_ONE = {"people": "person", "texts": "text", "passages": "passage", "tokens": "token"}
_CERTAIN = 0.05  # one-sided upper bounds are at 95 %


def count(value: int) -> str:
    """18 204."""
    return f"{value:,}".replace(",", _NARROW)


def percent(value: float) -> str:
    """70 %, 1.6 %; never a rounded 0 % or 100 % for a number that is neither."""
    if not isfinite(value):
        return "not a number"
    hundredth = 100 * value
    if 0 < hundredth < 0.1:
        return f"<{_NARROW}0.1{_NARROW}%"
    small = hundredth < 10 and hundredth != int(hundredth)
    digits = 1 if small or 99 < hundredth < 100 else 0
    return f"{hundredth:.{digits}f}{_NARROW}%"


def plain(value: float) -> str:
    """Two decimals, or three digits and a power of ten from a million; what is below a thousandth is said to be so."""
    if not isfinite(value):
        return "not a number" if isnan(value) else "infinite"
    if 0 < abs(value) < 0.001:
        return f"<{_NARROW}0.001" if value > 0 else f">{_NARROW}{_MINUS}0.001"
    if abs(value) >= 1e6:
        mantissa, power = f"{value:.2e}".split("e")
        return f"{mantissa} {_TIMES} 10{str(int(power)).translate(_RAISED)}".replace("-", _MINUS)
    written = f"{value:.2f}" if abs(value) < 100 else count(round(value))
    return written.replace("-", _MINUS)


def headline(estimate: Estimate, unit: str, *, proportion: bool) -> str:
    """The number itself: "45 of 64", "35 %", "13.20 bits"."""
    if estimate.hits is not None:
        return f"{count(estimate.hits)} of {count(estimate.trials)}"
    if proportion:
        return percent(estimate.value)
    return f"{plain(estimate.value)} {unit}".strip()


def interval(estimate: Estimate, trials: str, *, proportion: bool) -> str:
    """The 95 % interval and how many trials (passages, people) are behind it."""
    show = percent if proportion else plain
    around = f"{show(estimate.low)} to {show(estimate.high)}"
    if estimate.hits is not None:
        return f"{percent(estimate.value)} ({around})"
    noun = _ONE.get(trials, trials) if estimate.trials == 1 else trials
    behind = f"{count(estimate.trials)} {noun}".strip()
    known = isfinite(estimate.low) and isfinite(estimate.high) and estimate.low != estimate.high
    return f"{around} · {behind}" if known else behind


def zero_bound(trials: int) -> float:
    """The one-sided 95 % upper bound of a rate after no hit in `trials`: 1 - 0.05^(1/n)
    (Clopper-Pearson).
    """
    return float(1 - _CERTAIN ** (1 / trials))


def change(value: float, unit: str, digits: int = 1) -> str:
    """+3.1 %, \u22120.4 points; no sign for nothing."""
    if not isfinite(value):
        return NOTHING
    written = f"{abs(value):.{digits}f}"
    sign = "" if not float(written) else ("+" if value > 0 else _MINUS)
    return f"{sign}{written}{_NARROW}{unit}"
