//! Times as people write and read them. It must never depend on the store, so that it can be tested anywhere.

/// Milliseconds in a number with a unit: `90s`, `5m`, `12h`, `7d`.
pub(crate) fn millis(text: &str) -> Result<u64, Box<dyn std::error::Error>> {
    let wrong = || format!("'{text}' is no time: write a number and a unit, such as 90s, 5m, 12h or 7d");
    let unit = match text.chars().next_back() {
        Some('s') => 1_000,
        Some('m') => 60_000,
        Some('h') => 3_600_000,
        Some('d') => 86_400_000,
        _ => return Err(wrong().into()),
    };
    let number = text.get(..text.len() - 1).and_then(|number| number.parse::<u64>().ok());
    Ok(number.filter(|number| *number > 0).and_then(|number| number.checked_mul(unit)).ok_or_else(wrong)?)
}

/// A moment in milliseconds since 1970, as `2026-11-21 11:16` in UTC.
pub(crate) fn shown(millis: u64) -> String {
    let minutes = millis / 60_000;
    let (hour, minute) = (minutes / 60 % 24, minutes % 60);
    // Days since the first of March of the year 0, so that the day of a leap year is the last of its year: Howard
    // Hinnant's `civil_from_days`.
    let days = minutes / 60 / 24 + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}")
}

#[cfg(test)]
mod tests {
    use super::{millis, shown};

    #[test]
    fn a_time_is_a_number_and_a_unit() {
        assert_eq!(millis("90s").unwrap(), 90_000);
        assert_eq!(millis("5m").unwrap(), 300_000);
        assert_eq!(millis("12h").unwrap(), 43_200_000);
        assert_eq!(millis("7d").unwrap(), 604_800_000);
        for text in ["", "d", "7", "0d", "-1d", "1.5h", "7 d", "7ä", "99999999999999999d"] {
            assert!(millis(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_moment_is_a_date_and_a_time() {
        for (seconds, text) in [
            (0, "1970-01-01 00:00"),
            (951_782_399, "2000-02-28 23:59"),
            (951_782_400, "2000-02-29 00:00"),
            (1_709_251_199, "2024-02-29 23:59"),
            (1_767_225_599, "2025-12-31 23:59"),
            (1_767_225_600, "2026-01-01 00:00"),
            (4_107_542_400, "2100-03-01 00:00"),
        ] {
            assert_eq!(shown(seconds * 1000), text);
        }
    }
}
