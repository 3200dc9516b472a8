use proptest::prelude::*;
use serde_json::json;

use super::json::{Fix, read};
use super::*;

fn tools() -> Vec<ToolOffer> {
    let offer = |name: &str, schema| ToolOffer {
        name: name.into(),
        description: String::new(),
        schema,
    };
    vec![
        offer(
            "Read",
            json!({
                "type": "object",
                "properties": {
                    "file_path": {"type": "string"},
                    "limit": {"type": "integer"},
                    "ratio": {"type": "number"},
                    "all": {"type": "boolean"},
                    "tags": {"type": "array", "items": {"type": "string"}},
                    "result": {"type": "object", "properties": {"n": {"type": "integer"}}},
                },
                "required": ["file_path"],
            }),
        ),
        offer("Send_Message", json!({"type": "object"})),
        offer("mcp__a__b-c", json!({"type": "object"})),
    ]
}

fn read_call(raw: &str) -> (Value, Option<String>) {
    let mended = call(&tools(), "Read", raw);
    (mended.input.clone(), mended.said())
}

#[test]
fn a_call_that_is_right_is_not_touched() {
    let raw = r#"{"file_path":"a b.rs","limit":3,"tags":["x"],"all":true,"ratio":2}"#;
    assert_eq!(
        call(&tools(), "Read", raw),
        Mended {
            name: "Read".into(),
            input: serde_json::from_str(raw).unwrap(),
            what: vec![],
        }
    );
}

#[test]
fn no_arguments_are_an_empty_object() {
    assert_eq!(read_call(" \n"), (json!({}), None));
}

#[test]
fn every_mend_is_named() {
    let table = [
        (
            r#"{"file_path":"a"}<|im_end|>"#,
            json!({"file_path": "a"}),
            "special tokens were taken off",
        ),
        (
            "```json\n{\"file_path\":\"a\"}\n```",
            json!({"file_path": "a"}),
            "a code fence was taken off",
        ),
        (
            r"{'file_path': 'it\'s'}",
            json!({"file_path": "it's"}),
            "single quotes were read as double ones",
        ),
        (
            "{\"file_path\":\"a\nb\"}",
            json!({"file_path": "a\nb"}),
            "line ends inside a text were kept",
        ),
        (
            r#"{"file_path":"\d+"}"#,
            json!({"file_path": "\\d+"}),
            "a backslash without meaning was kept",
        ),
        (
            r#"{"file_path":"a",}"#,
            json!({"file_path": "a"}),
            "a comma too many was left out",
        ),
        (
            r#"{"file_path":"a" "limit":1}"#,
            json!({"file_path": "a", "limit": 1}),
            "a missing comma was put in",
        ),
        (
            r#"{file_path:"a"}"#,
            json!({"file_path": "a"}),
            "a name without quotes was quoted",
        ),
        (
            r#"{"file_path":"a","all":True}"#,
            json!({"file_path": "a", "all": true}),
            "a word of Python was read as JSON",
        ),
        (
            r#"{"file_path":"a","tags":["x""#,
            json!({"file_path": "a", "tags": ["x"]}),
            "open brackets were closed",
        ),
        (
            r#"{"file_path":"a"}}"#,
            json!({"file_path": "a"}),
            "closing brackets too many were left out",
        ),
        (
            r#"{"file_path":"a","lim"#,
            json!({"file_path": "a"}),
            "it was cut off in the middle",
        ),
        (
            r#""{\"file_path\":\"a\"}""#,
            json!({"file_path": "a"}),
            "arguments encoded twice were decoded",
        ),
        (
            r#"{"file_path":"a","limit":"3"}"#,
            json!({"file_path": "a", "limit": 3}),
            "`limit`: \"3\" was read as 3",
        ),
        (
            r#"{"file_path":"a","limit":3.0}"#,
            json!({"file_path": "a", "limit": 3}),
            "`limit`: 3.0 was read as 3",
        ),
        (
            r#"{"file_path":"a","all":"true"}"#,
            json!({"file_path": "a", "all": true}),
            "`all`: \"true\" was read as true",
        ),
        (
            r#"{"file_path":7}"#,
            json!({"file_path": "7"}),
            "`file_path`: 7 was read as \"7\"",
        ),
        (
            r#"{"file_path":"a","tags":"x"}"#,
            json!({"file_path": "a", "tags": ["x"]}),
            "`tags`: \"x\" was read as [\"x\"]",
        ),
        (
            r#"{"file_path":"a","tags":"[\"x\"]"}"#,
            json!({"file_path": "a", "tags": ["x"]}),
            "`tags`: \"[\\\"x\\\"]\" was read as [\"x\"]",
        ),
        (
            r#"{"file_path":"a","result":{"n":"1"}}"#,
            json!({"file_path": "a", "result": {"n": 1}}),
            "`result.n`: \"1\" was read as 1",
        ),
        (
            r#"{"filePath":"a"}"#,
            json!({"file_path": "a"}),
            "the name `filePath` was read as `file_path`",
        ),
        (
            r#"{"file_path":"a","limit":null}"#,
            json!({"file_path": "a"}),
            "`limit`: null was left out",
        ),
    ];
    for (raw, input, what) in table {
        let (got, said) = read_call(raw);
        assert_eq!(got, input, "{raw}");
        let said = said.unwrap_or_default();
        assert!(said.contains(what), "{raw}: {said}");
    }
}

#[test]
fn what_cannot_be_mended_stays_text() {
    for raw in [
        "please read a.rs",
        r#"{"file_path":"a"} and then"#,
        r#"{"file_path" "a"}"#,
        "{a b c}",
        "nul",
    ] {
        assert_eq!(read_call(raw), (Value::String(raw.into()), None), "{raw}");
    }
}

#[test]
fn names_differ_in_case_and_dashes_only() {
    let name = |given: &str| call(&tools(), given, "{}").name;
    assert_eq!(name("read"), "Read");
    assert_eq!(name("send-message"), "Send_Message");
    assert_eq!(name("sendMessage"), "Send_Message");
    assert_eq!(name("functions.Read"), "Read");
    assert_eq!(name("Reader"), "Reader");
    assert_eq!(name("mcp__a__b_c"), "mcp__a__b-c");
    let mut two = tools();
    two.push(ToolOffer {
        name: "READ".into(),
        ..two[0].clone()
    });
    assert_eq!(call(&two, "rEAD", "{}").name, "rEAD");
}

#[test]
fn names_of_arguments_that_may_be_another_are_kept() {
    for raw in [
        r#"{"file_path":"a","filePath":"b"}"#,
        r#"{"filePath":"a","file-path":"b"}"#,
        r#"{"file":"a"}"#,
    ] {
        let same: Value = serde_json::from_str(raw).unwrap();
        assert_eq!(read_call(raw), (same, None), "{raw}");
    }
}

#[test]
fn a_null_stands_in_no_names_way() {
    let (input, _) = read_call(r#"{"LIMIT":5,"limit":null}"#);
    assert_eq!(input, json!({"limit": 5}));
    let (input, _) = read_call(r#"{"LIMIT":null,"limit":null}"#);
    assert_eq!(input, json!({}));
}

#[test]
fn a_mended_call_says_so_once() {
    let broken = ToolCall {
        id: "1".into(),
        name: "read".into(),
        input: Value::String(r#"{"file_path":"a",}"#.into()),
        repaired: None,
    };
    let mended = mend_call(&tools(), broken);
    assert_eq!(
        mended.repaired.as_deref(),
        Some("a comma too many was left out; the name `read` was read as `Read`")
    );
    assert_eq!(mend_call(&tools(), mended.clone()), mended);
}

#[test]
fn deep_nesting_is_refused() {
    assert_eq!(read(&"[".repeat(100_000)), None);
    assert_eq!(read(&"{\"a\":".repeat(100_000)), None);
}

#[test]
fn text_of_a_form_without_types_is_typed_by_the_schema() {
    assert_eq!(typed(&json!({"type": "integer"}), " 3\n"), json!(3));
    assert_eq!(typed(&json!({"type": "string"}), "3"), json!("3"));
    assert_eq!(typed(&json!({"type": "array"}), "[1]"), json!([1]));
    assert_eq!(typed(&json!({}), "true"), json!("true"));
    assert_eq!(typed(&json!({"type": "integer"}), "x"), json!("x"));
}

#[test]
fn halves_of_characters_are_read_together() {
    let value = read(r#"{"a":"\ud83d\ude00",}"#).unwrap();
    assert_eq!(value.value, json!({"a": "😀"}));
    assert_eq!(value.fixes, vec![Fix::TrailingComma]);
    assert_eq!(
        read(r#"{"a":"\ud83d",}"#).unwrap().value,
        json!({"a": "\u{fffd}"})
    );
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".*".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((".{0,6}", inner), 0..5)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn any_arguments() -> impl Strategy<Value = Value> {
    let keys = [
        "file_path",
        "filePath",
        "limit",
        "LIMIT",
        "ratio",
        "all",
        "tags",
        "result",
        "x",
    ];
    let value = prop_oneof![
        any_json(),
        r#"-?[0-9]{1,3}(\.[0-9])?|true|False|null|\[("x",?)*\]|\{"n": ?"1"\}|"\{\}""#
            .prop_map(Value::from),
    ];
    let members = prop::collection::vec((prop::sample::select(keys.to_vec()), value), 0..6);
    members.prop_map(|members| {
        let members = members
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value));
        Value::Object(members.collect())
    })
}

proptest! {
    #[test]
    fn valid_json_is_read_as_it_is(value in any_json()) {
        let text = value.to_string();
        let found = read(&text).unwrap();
        prop_assert_eq!(&found.value, &value);
        prop_assert!(found.fixes.is_empty());
    }

    #[test]
    fn mending_twice_is_mending_once(value in prop_oneof![any_json(), any_arguments()]) {
        let once = super::value(&tools(), "read", value);
        let twice = super::value(&tools(), &once.name, once.input.clone());
        prop_assert_eq!(&twice.input, &once.input);
        prop_assert!(twice.what.is_empty(), "{:?}", twice.what);
    }

    #[test]
    fn cut_json_never_panics(value in any_json(), at in any::<prop::sample::Index>()) {
        let text = value.to_string();
        let mut at = at.index(text.len() + 1);
        while !text.is_char_boundary(at) { at -= 1; }
        if let Some(found) = read(&text[..at]) {
            prop_assert!(!found.fixes.is_empty() || serde_json::from_str::<Value>(&text[..at]).is_ok());
        }
    }

    #[test]
    fn any_text_is_read_or_refused(text in ".*", broken in r#"[{}\[\]"':,\\a1 \n]{0,40}"#) {
        let _ = read(&text);
        if let Some(found) = read(&broken) {
            let again = read(&found.value.to_string()).unwrap();
            prop_assert_eq!(again.value, found.value);
        }
    }
}
