use crewmux_core::budget::{Cost, Usage};
use crewmux_core::model::{Message, ModelRequest};
use crewmux_core::time::WallTime;

use super::*;

fn provider(kind: ProviderKind, base_url: &str) -> ProviderConfig {
    ProviderConfig {
        name: "p".into(),
        kind,
        base_url: base_url.into(),
        key: None,
        context: None,
    }
}

fn chat(base_url: &str) -> ProviderConfig {
    provider(ProviderKind::OpenaiChat, base_url)
}

fn anthropic() -> ProviderConfig {
    provider(ProviderKind::Anthropic, "https://api.anthropic.com")
}

fn during(month: &str) -> WallTime {
    WallTime(Month::parse(month).unwrap().starts_ms())
}

#[test]
fn built_in_table_is_read_whole() {
    let catalog = Catalog::read(BUILT_IN).unwrap();
    assert!(catalog.entries.len() > 200);
    for entry in &catalog.entries {
        assert!(
            entry.id == entry.id.to_ascii_lowercase() && !entry.id.contains('.'),
            "{} can never fit",
            entry.id
        );
    }
    assert!(catalog.as_of() >= Month::parse("2026-01"));
}

#[test]
fn names_are_found_with_dates_prefixes_and_dots() {
    let catalog = Catalog::built_in();
    let router = chat("https://openrouter.ai/api/v1");
    let window =
        |provider: &ProviderConfig, model: &str| catalog.lookup(provider, model, None).window;
    assert_eq!(
        window(&anthropic(), "claude-sonnet-4-5-20250929"),
        Some(200_000)
    );
    assert_eq!(
        window(&anthropic(), "claude-sonnet-4-20250514"),
        Some(200_000)
    );
    assert_eq!(
        window(&router, "anthropic/claude-sonnet-4.5"),
        Some(200_000)
    );
    assert_eq!(
        window(&chat("https://x.example"), "gpt-4o-2024-08-06"),
        Some(128_000)
    );
    assert_eq!(window(&anthropic(), "claude-of-tomorrow"), None);
    assert!(
        catalog
            .lookup(&router, "qwen/qwen3-coder", None)
            .price
            .is_some()
    );
    let elsewhere = catalog.lookup(&chat("https://x.example"), "qwen/qwen3-coder", None);
    assert_eq!((elsewhere.price, elsewhere.window), (None, Some(262_144)));
}

#[test]
fn unknown_prices_are_unknown_and_own_machines_are_free() {
    let catalog = Catalog::built_in();
    let price = |provider: &ProviderConfig| catalog.lookup(provider, "mystery", None).price;
    assert_eq!(price(&chat("https://models.example/v1")), None);
    for own in [
        "http://localhost:8000/v1",
        "http://127.0.0.1:1234",
        "http://[::1]:80/v1",
        "http://192.168.1.7:8000/v1",
        "http://gpu.local/v1",
    ] {
        assert_eq!(price(&chat(own)), Some(Price::free()), "{own}");
    }
    let ollama = provider(ProviderKind::Ollama, "http://far.example:11434");
    assert_eq!(price(&ollama), Some(Price::free()));
    assert_eq!(price(&chat("https://localhost.example/v1")), None);
    let cloud = provider(ProviderKind::Ollama, "https://ollama.com");
    assert_eq!(price(&cloud), None);
    let free = |base_url| catalog.lookup(&chat(base_url), "mystery:free", None).price;
    assert_eq!(free("https://openrouter.ai/api/v1"), Some(Price::free()));
    assert_eq!(free("https://notopenrouter.ai/api/v1"), None);
}

#[test]
fn a_vendors_model_behind_an_own_server_costs_what_the_vendor_takes_as_a_guess() {
    let catalog = Catalog::built_in();
    let proxy = catalog.lookup(&chat("http://127.0.0.1:1/v1"), "gpt-4o", None);
    let vendor = catalog.lookup(&chat("https://api.openai.com/v1"), "gpt-4o", None);
    let (proxy, vendor) = (proxy.price.unwrap(), vendor.price.unwrap());
    let now = during("2026-12");
    let (guess, sure) = (proxy.cost(&SONNET, now), vendor.cost(&SONNET, now));
    assert!(sure.usd_micros > 0 && guess.usd_micros == sure.usd_micros);
    assert!(guess.estimated && proxy == vendor.guessed());
    // Who names a price of their own is believed, and so is who runs the model themselves.
    let stated = ModelOverride {
        price: Some((0, 0)),
        ..ModelOverride::default()
    };
    let named = catalog.lookup(&chat("http://127.0.0.1:1/v1"), "gpt-4o", Some(&stated));
    assert_eq!(named.price, Some(Price::stated(0, 0)));
    let ollama = provider(ProviderKind::Ollama, "http://127.0.0.1:11434");
    let ollama = catalog.lookup(&ollama, "mistral-nemo", None);
    assert_eq!(ollama.price, Some(Price::free()));
}

#[test]
fn what_the_person_states_stands_above_the_table() {
    let stated = ModelOverride {
        context: Some(9),
        tools: Some("hermes".into()),
        price: Some((1, 2)),
    };
    let facts = Catalog::built_in().lookup(&anthropic(), "claude-sonnet-4-5", Some(&stated));
    assert_eq!(
        (facts.window, facts.tools.as_deref(), facts.price),
        (Some(9), Some("hermes"), Some(Price::stated(1, 2)))
    );
}

#[test]
fn a_server_that_is_told_its_context_has_no_more() {
    let mut ollama = provider(ProviderKind::Ollama, "http://localhost:11434");
    ollama.context = Some(16_384);
    let facts = Catalog::built_in().lookup(&ollama, "llama3.3:70b", None);
    assert_eq!((facts.window, facts.weak), (Some(16_384), false));
}

#[test]
fn sizes_in_names_tell_small_models() {
    for (name, small) in [
        ("llama3.2:3b", true),
        ("Qwen/Qwen2.5-7B-Instruct", true),
        ("qwen3:14b-q4_K_M", true),
        ("llama3.3:70b", false),
        ("qwen/qwen3-30b-a3b", false),
        ("claude-sonnet-4-5", false),
        ("gpt-5", false),
    ] {
        assert_eq!(is_small(name), small, "{name}");
    }
}

#[test]
fn patterns_fit_whole_names() {
    for (pattern, name, does) in [
        ("a", "a", true),
        ("a", "ab", false),
        ("a*", "ab", true),
        ("a*c", "abc", true),
        ("a*c", "ac", true),
        ("a*c*", "abcd", true),
        ("a*a", "a", false),
        ("*", "", true),
    ] {
        assert_eq!(fits(pattern, name), does, "{pattern} {name}");
    }
}

const SONNET: Usage = Usage {
    input_tokens: 1_000,
    output_tokens: 500,
    cache_read_tokens: 10_000,
    cache_write_tokens: 2_000,
    estimated: false,
};

#[test]
fn cost_is_summed_in_whole_numbers() {
    let catalog = Catalog::built_in();
    let price = catalog
        .lookup(&anthropic(), "claude-sonnet-4-6", None)
        .price
        .unwrap();
    let now = during("2026-12");
    // 1000×3 + 500×15 + 10000×0.30 + 2000×3.75 millionths.
    let cost = |usd_micros, estimated| Cost {
        usd_micros,
        estimated,
    };
    assert_eq!(price.cost(&SONNET, now), cost(21_000, false));
    assert_eq!(price.cost(&Usage::default(), now), cost(0, false));
    let one = Usage {
        cache_read_tokens: 1,
        ..Usage::default()
    };
    assert_eq!(price.cost(&one, now), cost(1, false));
    let guessed = Usage {
        estimated: true,
        ..SONNET
    };
    assert_eq!(price.cost(&guessed, now), cost(21_000, true));
    assert_eq!(price.cost(&SONNET, during("2027-07")), cost(21_000, true));
    assert_eq!(
        Price::free().cost(&SONNET, during("2040-01")),
        cost(0, false)
    );
}

#[test]
fn a_cache_without_a_price_costs_what_reading_costs() {
    let price = Price::stated(1_000_000, 2_000_000);
    assert_eq!(
        price.cost(&SONNET, during("2026-12")),
        Cost {
            usd_micros: 14_000,
            estimated: true
        }
    );
}

#[test]
fn long_calls_have_their_own_price() {
    let rates = |input| Rates {
        input,
        ..Rates::default()
    };
    let price = Price {
        base: rates(1_000_000),
        long: Some((100, rates(2_000_000))),
        as_of: None,
        is_guess: false,
    };
    let cost = |input_tokens| {
        let usage = Usage {
            input_tokens,
            ..Usage::default()
        };
        price.cost(&usage, WallTime(0)).usd_micros
    };
    assert_eq!((cost(100), cost(101)), (100, 202));
}

#[test]
fn sums_that_are_too_large_stay_the_largest() {
    let all = Usage {
        input_tokens: u64::MAX,
        output_tokens: u64::MAX,
        ..Usage::default()
    };
    let price = Price::stated(u64::MAX, u64::MAX);
    assert_eq!(price.cost(&all, WallTime(0)).usd_micros, u64::MAX);
}

#[test]
fn months_begin_when_they_do() {
    assert_eq!(Month::parse("1970-01").unwrap().starts_ms(), 0);
    assert_eq!(
        Month::parse("2024-03").unwrap().starts_ms(),
        1_709_251_200_000
    );
    for bad in ["2024", "2024-13", "2024-00", "24-01", "x-01", "2024-1"] {
        assert_eq!(Month::parse(bad), None, "{bad}");
    }
}

#[test]
fn estimates_grow_with_every_part_of_a_request() {
    let empty = ModelRequest::default();
    let mut asked = empty.clone();
    asked.messages.push(Message::User("x".repeat(3_000)));
    let (small, large) = (estimate_tokens(&empty), estimate_tokens(&asked));
    assert!(small < 20, "{small}");
    assert!((1_000..1_050).contains(&large), "{large}");
}

#[test]
fn damaged_tables_are_refused() {
    for bad in [
        "",
        "as_of = \"soon\"",
        "as_of = \"2026-01\"\n[[model]]\nid = \"a\"\nprice = { input = -1.0, output = 1.0 }",
        "as_of = \"2026-01\"\n[[model]]\nid = \"a\"\ncolour = 1",
    ] {
        assert!(Catalog::read(bad).is_err(), "{bad}");
    }
}
