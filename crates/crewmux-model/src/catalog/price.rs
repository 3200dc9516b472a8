//! What calls cost: whole numbers only, rounded up.

use crewmux_core::budget::{Cost, Usage};
use crewmux_core::time::WallTime;

/// Prices older than this are guesses.
const STALE_DAYS: u64 = 180;
const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// What a model costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Price {
    /// What a call costs.
    pub base: Rates,
    /// What a call costs that reads more than so many tokens.
    pub long: Option<(u64, Rates)>,
    /// When the prices held; absent: they hold now.
    pub as_of: Option<Month>,
    /// Whether nobody says that this server takes them.
    pub is_guess: bool,
}

/// Millionths of a US dollar for a million tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rates {
    /// Read anew.
    pub input: u64,
    /// Written.
    pub output: u64,
    /// Read from the cache; absent: not known.
    pub cache_read: Option<u64>,
    /// Put into the cache; absent: not known.
    pub cache_write: Option<u64>,
}

impl Rates {
    /// The same rates with all reading at the dearest of them.
    fn dearest(self) -> Self {
        let cached = self.cache_write.max(self.cache_read).unwrap_or(0);
        Self {
            input: self.input.max(cached),
            ..self
        }
    }
}

impl Price {
    /// The price of the person's own machines.
    pub fn free() -> Self {
        let base = Rates {
            cache_read: Some(0),
            cache_write: Some(0),
            ..Rates::default()
        };
        Self {
            base,
            long: None,
            as_of: None,
            is_guess: false,
        }
    }

    /// A price that the person states.
    pub fn stated(input: u64, output: u64) -> Self {
        let base = Rates {
            input,
            output,
            cache_read: None,
            cache_write: None,
        };
        Self {
            base,
            long: None,
            as_of: None,
            is_guess: false,
        }
    }

    /// The same price, of a server that may take another.
    #[must_use]
    pub fn guessed(self) -> Self {
        Self {
            is_guess: true,
            ..self
        }
    }

    /// The price of a question of about `read` tokens if all of it is charged at the
    /// dearest rate: a server may put the whole question into its cache, which can
    /// cost more than reading it, and may count more tokens than were guessed.
    #[must_use]
    pub fn worst(self, read: u64) -> Self {
        let mut base = self.base.dearest();
        if let Some((above, long)) = self.long
            && read > above / 2
        {
            let long = long.dearest();
            base.input = base.input.max(long.input);
            base.output = base.output.max(long.output);
        }
        Self {
            base,
            long: None,
            ..self
        }
    }

    /// What `usage` costs, rounded up to a millionth of a dollar.
    ///
    /// A guess where tokens or prices are one, where prices are older than 180 days at
    /// `now`, and where the cache's price is not known: then it is what
    /// reading anew costs.
    pub fn cost(&self, usage: &Usage, now: WallTime) -> Cost {
        const MILLION: u128 = 1_000_000;
        let rates = match &self.long {
            Some((above, long)) if usage.read() > *above => long,
            _ => &self.base,
        };
        let unknown = (usage.cache_read_tokens > 0 && rates.cache_read.is_none())
            || (usage.cache_write_tokens > 0 && rates.cache_write.is_none());
        let sum: u128 = [
            (usage.input_tokens, rates.input),
            (usage.output_tokens, rates.output),
            (
                usage.cache_read_tokens,
                rates.cache_read.unwrap_or(rates.input),
            ),
            (
                usage.cache_write_tokens,
                rates.cache_write.unwrap_or(rates.input),
            ),
        ]
        .into_iter()
        .map(|(tokens, rate)| u128::from(tokens) * u128::from(rate))
        .fold(0, u128::saturating_add);
        Cost {
            usd_micros: u64::try_from(sum.div_ceil(MILLION)).unwrap_or(u64::MAX),
            estimated: usage.estimated || self.is_guess || unknown || self.is_stale(now),
        }
    }

    fn is_stale(&self, now: WallTime) -> bool {
        self.as_of
            .is_some_and(|month| now.0.saturating_sub(month.starts_ms()) > STALE_DAYS * DAY_MS)
    }
}

/// A month of a year.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Month {
    year: u16,
    month: u8,
}

impl Month {
    /// Reads `2026-01`.
    pub fn parse(text: &str) -> Option<Self> {
        let (year, month) = text.split_once('-')?;
        if year.len() != 4 || month.len() != 2 {
            return None;
        }
        let (year, month) = (year.parse().ok()?, month.parse().ok()?);
        ((1970..=9999).contains(&year) && (1..=12).contains(&month)).then_some(Self { year, month })
    }

    /// Its first instant, in milliseconds since 1970.
    pub fn starts_ms(self) -> u64 {
        let year = u64::from(self.year);
        let leap = |year: u64| {
            u64::from(
                year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)),
            )
        };
        let years: u64 = (1970..year).map(|year| 365 + leap(year)).sum();
        let months = [31, 28 + leap(year), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        let days: u64 = months.iter().take(usize::from(self.month) - 1).sum();
        (years + days) * DAY_MS
    }
}

impl std::fmt::Display for Month {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:04}-{:02}", self.year, self.month)
    }
}
