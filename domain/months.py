"""The names of the months, in the languages in which dates are read and made up."""

from collections.abc import Collection

NAMES: tuple[tuple[str, ...], ...] = tuple(
    tuple(row.split())
    for row in (
        "january february march april may june july august september october november december",
        "jan feb mar apr may jun jul aug sep oct nov dec",
        "jan feb mar apr may june july aug sept oct nov dec",
        "januar februar märz april mai juni juli august september oktober november dezember",
        "januar februar maerz april mai juni juli august september oktober november dezember",
        "jänner februar märz april mai juni juli august september oktober november dezember",
        "jan feb mär apr mai jun jul aug sep okt nov dez",
        "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
        "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
        "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre",
        "januari februari maart april mei juni juli augustus september oktober november december",
        "janeiro fevereiro março abril maio junho julho agosto setembro outubro novembro dezembro",
        "januari februari mars april maj juni juli augusti september oktober november december",
        "januar februar mars april mai juni juli august september oktober november desember",
        "januar februar marts april maj juni juli august september oktober november december",
    )
)
"""Lower case, one row a language or way of shortening: English, German, French, Spanish, Italian, Dutch, Portuguese,
Swedish, Norwegian and Danish.
"""


def others(month: str, nearby: Collection[str] = ()) -> list[str]:
    """The other eleven months, in lower case, in the language of this one; nothing for a word that is no month.

    Of several languages that which has most of the words `nearby`, in lower case, and then the first of `NAMES`.
    """
    rows = [row for row in NAMES if month.casefold() in row]
    row = max(rows, key=lambda row: len(set(row).intersection(nearby)), default=())
    return [name for name in row if name != month.casefold()]
