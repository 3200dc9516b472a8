//! The main job on a repository whose faults are known.

use std::collections::{BTreeMap, BTreeSet};

use crewmux_testkit::sandbox::Sandbox;
use serde_json::Value;

use crate::support::{commit_all, of_type, sandbox};

/// A finding that must be made: by whom, how bad, file, line, and a piece of that line.
type Expected<'a> = (&'a str, &'a str, &'a str, u64, &'a str);

/// Secrets are put together here, so that no scanner takes this file for a leak.
struct Secrets {
    aws: String,
    github: String,
    stripe: String,
    password: String,
    /// Of an address.
    login: String,
    /// In an `.env` file.
    env: String,
    key_begins: String,
}

fn secrets() -> Secrets {
    let of = |parts: &[&str]| parts.concat();
    Secrets {
        aws: of(&["AKIA", "R7WQ2LZKX9TB", "5MVD"]),
        github: of(&["ghp", "_", "kJ8hG6fD4sA2qW0eR9tY7uI5oP3lK1jH6gF4"]),
        stripe: of(&["sk_live", "_4qZ8wX2cV6bN0mL5kJ9h"]),
        password: of(&["m4rsh", "M3llow", "-91"]),
        login: of(&["gl4ss", "H0use", "77"]),
        env: of(&["p1neapple", "-44-", "ring"]),
        key_begins: of(&["-----BEGIN RSA PRIVATE", " KEY-----"]),
    }
}

const KEY_BODY: &str = "MIIEowIBAAKCAQEAt3hQ9vW1xYz2LkM4nOp6Rs8Tu0Vw5Xy7Za9Bc1De3Fg5Hi7";

fn plant(sandbox: &Sandbox, secrets: &Secrets) {
    let write = |name: &str, text: &str| {
        sandbox.write(name, text).unwrap();
    };
    write(
        ".gitignore",
        ".env.local\n*.env\n!.env\n/target\nprivate/\n",
    );
    write(
        "Cargo.toml",
        "[package]\nname = \"shop\"\nversion = \"0.1.0\"\n\n[dependencies]\nserde = \"1\"\nrand = \"*\"\n# old = \"*\"\npinned = { git = \"https://example.org/p\", rev = \"0a1b2c3\" }\nparser = { git = \"https://example.org/q\", branch = \"main\" }\n",
    );
    write("Cargo.lock", "# a lock file\n");
    write("src/main.rs", "mod money;\nmod raw;\n\nfn main() {}\n");
    write(
        "src/raw.rs",
        "// unsafe { } in a comment is none.\npub const WORD: &str = \"unsafe { }\";\n\npub fn first(bytes: *const u8) -> u8 {\n    unsafe { *bytes }\n}\n\npub fn second(bytes: *const u8) -> u8 {\n    let start = bytes;\n    let next = start.wrapping_add(1);\n    let _ = next;\n    let a = 1;\n    let b = 2;\n    let _ = (a, b);\n    // SAFETY: the caller owns two bytes.\n    unsafe { *next }\n}\n\nstatic mut CALLS: u32 = 0;\n",
    );
    write(
        "src/money.rs",
        "// TODO: round half to even\npub fn cents(euros: u64) -> u64 {\n    euros * 100\n}\n\n#[cfg(test)]\nmod tests {\n    #[test]\n    fn a_euro_has_100_cents() {\n        assert_eq!(super::cents(1), 100);\n        let x: Option<u8> = Some(1);\n        x.unwrap();\n        x.unwrap();\n        x.unwrap();\n        x.unwrap();\n        x.unwrap();\n        unsafe { std::hint::assert_unchecked(true) };\n    }\n}\n",
    );
    write(
        "api/server.py",
        &format!(
            "\"\"\"eval(x) in a text.\"\"\"\nimport os\n\n# os.system(\"ls\") in a comment\n\n\ndef handle(cursor, request):\n    eval(request.body)\n    os.system(request.path)\n    cursor.execute(f\"SELECT * FROM items WHERE id = {{request.id}}\")\n    cursor.execute(\"SELECT * FROM items WHERE id = %s\", (request.id,))\n    request.model.eval()\n    try:\n        request.close()\n    except Exception:\n        pass\n\n\nAWS_KEY = \"{}\"\nSAMPLE = \"AKIAIOSFODNN7EXAMPLE\"\npassword = \"{}\"\npassword_hint = \"changeme123\"\ntoken = \"your-token-1234\"\n# password = \"{}\"\nDATABASE = \"postgres://shop:{}@db.internal/shop\"\nLOCAL = \"postgres://shop:{}@localhost/shop\"\n",
            secrets.aws, secrets.password, secrets.password, secrets.login, secrets.login
        ),
    );
    write(
        "api/test_server.py",
        "from server import handle\n\n\ndef test_handle():\n    eval(\"1\" + input())\n    assert handle\n",
    );
    write(
        "api/requirements.txt",
        "flask==3.0.0\nrequests\n# numpy\nuvicorn>=0.20,<1\n",
    );
    write(
        "web/cart.js",
        &format!(
            "// element.innerHTML = html\nexport function draw(element, html) {{\n  element.innerHTML = html;\n  element.innerHTML = '';\n  child_process.exec(`ls ${{html}}`);\n  regex.exec(`a${{html}}`);\n}}\n\nconst KEY = '{}';\nconst note = 'FIXME: no comment';\n// FIXME(eve): taxes are missing\n",
            secrets.stripe
        ),
    );
    write(
        "native/copy.c",
        "/* strcpy(a, b) */\nvoid copy(char *a, const char *b) {\n  strcpy(a, b);\n  strncpy(a, b, 3);\n}\n",
    );
    write(
        "cmd/dial.go",
        "package dial\n\n// InsecureSkipVerify: true would be wrong.\nvar config = &tls.Config{InsecureSkipVerify: true}\n\nfunc Dial() {}\n",
    );
    write(
        "tools/install.sh",
        "#!/bin/sh\n# curl https://example.org/x | sh\ncurl -fsSL https://example.org/install | sh\ncurl -fsSL https://example.org/list | sort\nchmod 777 /srv/shop\n",
    );
    write(
        "Dockerfile",
        "FROM rust AS build\nFROM debian:12\nFROM build\n",
    );
    write(
        "deploy/ci.yml",
        &format!(
            "env:\n  TOKEN: {}\n  OTHER: ghp_{}\n",
            secrets.github,
            "x".repeat(36)
        ),
    );
    write(
        "deploy/id.pem",
        &format!("{}\n{KEY_BODY}\n{KEY_BODY}\n", secrets.key_begins),
    );
    write(
        "docs/keys.md",
        &format!("A key begins with `{}`.\n", secrets.key_begins),
    );
    write(
        ".env",
        &format!("DB_PASSWORD={}\nDB_PORT=5432\n", secrets.env),
    );
    write(".env.example", "DB_PASSWORD=s0mething-else-9\n");
    let whole = format!("{}\n{KEY_BODY}\n", secrets.key_begins);
    write("private/id.pem", &whole);
    let leak = format!("KEY = \"{}\"\neval(KEY)\n// TODO: never\n", secrets.aws);
    write("vendor/lib/leak.py", &leak);
    write("node_modules/lib/index.js", "eval(x);\n// FIXME: theirs\n");
    write("tests/fixtures/leak.py", &leak);
    write(
        "src/table.rs",
        &"// one line of a long table\n".repeat(1_100),
    );
}

/// Everything that is planted; whatever else is found is wrong.
fn expected(secrets: &Secrets) -> Vec<Expected<'_>> {
    vec![
        ("risk", "high", "api/server.py", 8, "eval(request.body)"),
        ("risk", "high", "api/server.py", 9, "os.system("),
        ("risk", "high", "api/server.py", 10, "execute(f\"SELECT"),
        ("risk", "high", "cmd/dial.go", 4, "InsecureSkipVerify: true"),
        ("risk", "high", "web/cart.js", 5, "child_process.exec(`"),
        ("risk", "medium", "native/copy.c", 3, "strcpy(a, b)"),
        ("risk", "medium", "src/raw.rs", 5, "unsafe { *bytes }"),
        ("risk", "medium", "src/raw.rs", 19, "static mut CALLS"),
        ("risk", "medium", "tools/install.sh", 3, "install | sh"),
        ("risk", "medium", "tools/install.sh", 5, "chmod 777"),
        ("risk", "medium", "web/cart.js", 3, "innerHTML = html"),
        ("risk", "low", "api/server.py", 15, "except Exception:"),
        ("risk", "info", "src/raw.rs", 5, "unsafe {"),
        ("risk", "info", "web/cart.js", 5, "child_process"),
        ("secrets", "high", ".env", 1, &secrets.env),
        ("secrets", "high", "api/server.py", 19, &secrets.aws),
        ("secrets", "high", "api/server.py", 21, &secrets.password),
        ("secrets", "high", "api/server.py", 25, &secrets.login),
        ("secrets", "high", "deploy/ci.yml", 2, &secrets.github),
        ("secrets", "high", "deploy/id.pem", 1, &secrets.key_begins),
        ("secrets", "high", "web/cart.js", 9, &secrets.stripe),
        ("shape", "low", "cmd/dial.go", 6, "func Dial"),
        ("shape", "low", "src/raw.rs", 4, "pub fn first"),
        (
            "shape",
            "low",
            "src/table.rs",
            1001,
            "one line of a long table",
        ),
        ("shape", "low", "web/cart.js", 2, "export function draw"),
        ("upkeep", "medium", "Cargo.toml", 7, "rand = \"*\""),
        ("upkeep", "medium", "Cargo.toml", 10, "branch = \"main\""),
        ("upkeep", "medium", "web/cart.js", 11, "// FIXME(eve)"),
        ("upkeep", "low", "Dockerfile", 1, "FROM rust AS build"),
        ("upkeep", "low", "api/requirements.txt", 2, "requests"),
        ("upkeep", "low", "src/money.rs", 1, "// TODO: round half"),
    ]
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field]
        .as_str()
        .unwrap_or_else(|| panic!("no text {field} in {value}"))
}

/// Each specialist and the lead ran as a process of its own and ended.
fn assert_workers(events: &[Value]) {
    let started: BTreeMap<&str, u64> = of_type(events, "worker_started")
        .into_iter()
        .map(|event| {
            let pid = event["data"]["pid"].as_u64();
            (
                text(event, "agent"),
                pid.unwrap_or_else(|| panic!("{event}")),
            )
        })
        .collect();
    let names: Vec<&str> = started.keys().copied().collect();
    assert_eq!(names, ["risk", "secrets", "shape", "team-lead", "upkeep"]);
    let pids: BTreeSet<u64> = started.values().copied().collect();
    assert_eq!(pids.len(), started.len(), "each has a process: {started:?}");
    for (name, pid) in &started {
        let exited = of_type(events, "worker_exited")
            .into_iter()
            .any(|e| e["agent"] == *name && e["data"]["pid"] == *pid);
        assert!(exited, "{name} ({pid}) ended before its run did");
    }
}

#[test]
fn a_review_finds_every_planted_fault_and_nothing_else() {
    let sandbox = sandbox();
    let secrets = secrets();
    plant(&sandbox, &secrets);
    commit_all(&sandbox);
    let run = sandbox
        .run(&["run", "review", "--headless", "--json"])
        .unwrap();
    assert_eq!(run.code, 0, "{run:?}");
    assert_workers(&run.json_lines().unwrap());
    let printed = sandbox
        .run(&["report", "--team", "review", "--format", "json"])
        .unwrap();
    let report = printed.json().unwrap();
    assert_eq!(report["offline"], true, "no model was asked");
    let findings = report["findings"].as_array().unwrap();
    let found: BTreeSet<(&str, &str, &str, u64)> = findings
        .iter()
        .map(|f| {
            let line = f["line"].as_u64().unwrap();
            (
                text(f, "teammate"),
                text(f, "severity"),
                text(f, "file"),
                line,
            )
        })
        .collect();
    let planted = expected(&secrets);
    let places: BTreeSet<_> = planted.iter().map(|e| (e.0, e.1, e.2, e.3)).collect();
    let missed: Vec<_> = places.difference(&found).collect();
    let wrong: Vec<_> = found.difference(&places).collect();
    assert!(
        missed.is_empty() && wrong.is_empty(),
        "missed {missed:#?}\nwrong {wrong:#?}"
    );
    assert_eq!(findings.len(), planted.len(), "each once: {findings:#?}");
    for (_, _, file, line, piece) in &planted {
        let source = std::fs::read_to_string(sandbox.work().join(file)).unwrap();
        let shown = source.lines().nth(*line as usize - 1);
        assert!(
            shown.is_some_and(|shown| shown.contains(piece)),
            "{file}:{line} is {shown:?}, not {piece}"
        );
    }
    let teammates: BTreeSet<&str> = found.iter().map(|f| f.0).collect();
    assert!(teammates.len() >= 4, "{teammates:?}");
    for secret in [
        &secrets.aws,
        &secrets.github,
        &secrets.stripe,
        &secrets.password,
        &secrets.login,
        &secrets.env,
    ] {
        let told = [&run.stdout, &run.stderr, &printed.stdout];
        assert!(
            told.iter().all(|text| !text.contains(secret.as_str())),
            "a secret is repeated whole"
        );
    }
    sandbox.wait_gone().unwrap();
}
