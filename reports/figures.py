"""Numbers as a reader wants them: counts with thin spaces, percents and intervals without false precision."""

from math import isfinite

from domain.outcomes import Estimate

_THIN, _NARROW = "\u2009", "\u202f"  # thin space; narrow no-break space
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
    digits = 1 if hundredth < 10 and hundredth != int(hundredth) or 99 < hundredth < 100 else 0
    return f"{hundredth:.{digits}f}{_NARROW}%"


def plain(value: float) -> str:
    """Three significant digits, no exponent for what people meet."""
    if not isfinite(value):
        return "not a number" if value != value else ("beyond any" if value > 0 else "below any")  # noqa: PLR0124
    if value and not 0.001 <= abs(value) < 1e6:
        return f"{value:.2e}"
    return f"{value:.2f}" if abs(value) < 100 else f"{value:.0f}"


def headline(estimate: Estimate, unit: str, *, proportion: bool) -> str:
    """The number itself: "45 of 64", "35 %", "13.20 bits"."""
    if estimate.hits is not None:
        return f"{count(estimate.hits)} of {count(estimate.trials)}"
    if proportion:
        return percent(estimate.value)
    return f"{plain(estimate.value)} {unit}".strip()


def interval(estimate: Estimate, *, proportion: bool) -> str:
    """The 95 % interval and the trials behind it."""
    show = percent if proportion else plain
    around = f"{show(estimate.low)} to {show(estimate.high)}"
    if estimate.hits is not None:
        return f"{percent(estimate.value)} ({around})"
    return f"{around} · {count(estimate.trials)} trials"


def zero_bound(trials: int) -> float:
    """The one-sided 95 % upper bound of a rate after no hit in `trials`: 1 - 0.05^(1/n) (Clopper-Pearson)."""
    return 1 - _CERTAIN ** (1 / trials)
