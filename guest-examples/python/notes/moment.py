"""Times as people write and read them. It must never depend on the store, so that it can be tested anywhere."""

import re

UNITS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


def millis(text: str) -> int:
    """Milliseconds in a number with a unit: `90s`, `5m`, `12h`, `7d`."""
    parts = re.fullmatch(r"([0-9]{1,4000})([smhd])", text)
    millis = int(parts[1]) * UNITS[parts[2]] if parts else 0
    if not 0 < millis < 2**64:
        raise ValueError(f"'{text}' is no time: write a number and a unit, such as 90s, 5m, 12h or 7d")
    return millis


def shown(millis: int) -> str:
    """A moment in milliseconds since 1970, as `2026-11-21 11:16` in UTC."""
    # Not with `datetime`, which ends in the year 9999: days since the first of March of the year 0, so that the day of a
    # leap year is the last of its year (Howard Hinnant's `civil_from_days`).
    days, minutes = divmod(millis // 60_000, 1440)
    era, of_era = divmod(days + 719_468, 146_097)
    year_of_era = (of_era - of_era // 1_460 + of_era // 36_524 - of_era // 146_096) // 365
    of_year = of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    month_from_march = (5 * of_year + 2) // 153
    day = of_year - (153 * month_from_march + 2) // 5 + 1
    month = month_from_march + 3 if month_from_march < 10 else month_from_march - 9
    year = era * 400 + year_of_era + (month <= 2)
    return f"{year:04}-{month:02}-{day:02} {minutes // 60:02}:{minutes % 60:02}"
