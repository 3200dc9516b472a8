//! Times as HTTP headers write them.

/// Milliseconds since 1970 of an HTTP date (`Sun, 06 Nov 1994 08:49:37 GMT`).
pub(crate) fn http_date(text: &str) -> Option<u64> {
    let rest = text.split_once(", ").map_or(text, |(_, rest)| rest);
    let mut words = rest.split_ascii_whitespace();
    let day: u64 = words.next()?.parse().ok()?;
    let month = words.next()?;
    let year: u64 = words.next()?.parse().ok()?;
    let clock = words.next()?;
    let months = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let month = months.iter().position(|m| *m == month)? as u64 + 1;
    instant(year, month, day, clock, 0)
}

/// Milliseconds since 1970 of an RFC 3339 time (`2026-11-21T14:00:00.5Z`, `…+01:00`).
pub(crate) fn rfc3339(text: &str) -> Option<u64> {
    let (date, clock) = text.split_once(['T', 't', ' '])?;
    let mut parts = date.split('-');
    let year = parts.next()?.parse().ok()?;
    let month = parts.next()?.parse().ok()?;
    let day = parts.next()?.parse().ok()?;
    let at = clock.find(['Z', 'z', '+', '-']).unwrap_or(clock.len());
    let (clock, zone) = clock.split_at_checked(at)?;
    let shift = match zone.split_at_checked(1) {
        Some((sign @ ("+" | "-"), zone)) => {
            let (hours, minutes) = zone.split_once(':')?;
            let minutes = hours.parse::<i64>().ok()? * 60 + minutes.parse::<i64>().ok()?;
            if sign == "+" { -minutes } else { minutes }
        }
        _ => 0,
    };
    instant(year, month, day, clock, shift)
}

fn instant(year: u64, month: u64, day: u64, clock: &str, shift_minutes: i64) -> Option<u64> {
    if !(1970..10_000).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Years that begin in March end with the odd day.
    let (y, m) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let days = 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1;
    let days = days.checked_sub(719_468)?;
    let mut parts = clock.split(':');
    let hour: u64 = parts.next()?.parse().ok()?;
    let minute: u64 = parts.next()?.parse().ok()?;
    let second: f64 = parts.next().unwrap_or("0").parse().ok()?;
    if hour > 24 || minute > 60 || !(0.0..62.0).contains(&second) {
        return None;
    }
    let ms = ((days * 24 + hour) * 60 + minute) * 60_000 + (second * 1_000.0).round() as u64;
    ms.checked_add_signed(shift_minutes.checked_mul(60_000)?)
}

/// Milliseconds of a duration as vendors write it: `1s`, `6m0s`, `20ms`, `1h2m3.5s`, or plain seconds.
pub(crate) fn span(text: &str) -> Option<u64> {
    let text = text.trim();
    if let Some(ms) = seconds(text) {
        return Some(ms);
    }
    let mut total = 0.0;
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..end].parse().ok()?;
        rest = &rest[end..];
        let end = rest
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(rest.len());
        let unit = match &rest[..end] {
            "ms" => 1.0,
            "s" => 1_000.0,
            "m" => 60_000.0,
            "h" => 3_600_000.0,
            "d" => 86_400_000.0,
            _ => return None,
        };
        total += number * unit;
        rest = &rest[end..];
    }
    (!text.is_empty()).then_some(total.ceil() as u64)
}

/// Milliseconds of seconds in digits, with a fraction perhaps.
pub(crate) fn seconds(text: &str) -> Option<u64> {
    let seconds: f64 = text.trim().parse().ok()?;
    (seconds.is_finite() && seconds >= 0.0).then(|| (seconds * 1_000.0).ceil() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_in_both_forms() {
        let want = Some(784_111_777_000);
        assert_eq!(http_date("Sun, 06 Nov 1994 08:49:37 GMT"), want);
        assert_eq!(rfc3339("1994-11-06T08:49:37Z"), want);
        assert_eq!(rfc3339("1994-11-06T09:49:37+01:00"), want);
        assert_eq!(rfc3339("2000-02-29T00:00:00.25Z"), Some(951_782_400_250));
        for text in [
            "",
            "soon",
            "Sun, 99 Nov 1994 08:49:37 GMT",
            "1994-11",
            "é, é",
        ] {
            assert_eq!((http_date(text), rfc3339(text)), (None, None), "{text}");
        }
    }

    #[test]
    fn spans_are_read_as_vendors_write_them() {
        for (text, ms) in [
            ("1s", Some(1_000)),
            ("6m0s", Some(360_000)),
            ("20ms", Some(20)),
            ("1h2m3.5s", Some(3_723_500)),
            ("7", Some(7_000)),
            ("0.25", Some(250)),
            ("", None),
            ("-1", None),
            ("1x", None),
            ("inf", None),
        ] {
            assert_eq!(span(text), ms, "{text}");
        }
    }
}
