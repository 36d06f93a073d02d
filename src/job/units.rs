//! Durations and sizes as people write them.

use std::time::Duration;

use jiff::SignedDuration;

/// A duration such as `500ms`, `60s`, `1h 30m`; `None` where it is none, or negative.
pub(super) fn duration(text: &str) -> Option<Duration> {
    text.trim().parse::<SignedDuration>().ok()?.try_into().ok()
}

/// Bytes, such as `16MB` (10^6) or `16MiB` (2^20); a fraction is fine.
pub(super) fn bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let (number, unit) = text.split_at(text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len()));
    let factor: u64 = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        _ => return None,
    };
    let (whole, decimals) = number.trim().split_once('.').unwrap_or((number.trim(), ""));
    let whole: u64 = whole.parse().ok()?;
    if !decimals.bytes().all(|digit| digit.is_ascii_digit()) || decimals.len() > 9 {
        return None;
    }
    let scale = 10_u64.pow(u32::try_from(decimals.len()).ok()?);
    let part = if decimals.is_empty() { 0 } else { decimals.parse::<u64>().ok()? };
    whole.checked_mul(factor)?.checked_add(part.checked_mul(factor)? / scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_people_write_them() {
        for (text, millis) in [("500ms", 500), ("60s", 60_000), ("1h", 3_600_000), ("1h30m", 5_400_000), ("0s", 0)] {
            assert_eq!(duration(text), Some(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "5", "-5s", "soon", "1 fortnight"] {
            assert_eq!(duration(text), None, "{text}");
        }
    }

    #[test]
    fn sizes_read_as_people_write_them() {
        for (text, size) in [("16MB", 16_000_000), ("1 KiB", 1024), ("1.5kb", 1500), ("7", 7), ("2GiB", 2 << 30)] {
            assert_eq!(bytes(text), Some(size), "{text}");
        }
        for text in ["", "MB", "1.2.3MB", "-1MB", "1TBB", "1.MBx", "99999999999999999999GB"] {
            assert_eq!(bytes(text), None, "{text}");
        }
    }
}
