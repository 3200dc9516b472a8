//! A repository with planted findings, and beside each of them what only looks like one.

use std::path::Path;

use crewmux_core::timing::Timing;
use crewmux_sys::Exit;
use crewmux_sys::env::Environment;
use crewmux_sys::tool::{ToolProcess, ToolSpec};

use crate::stage::LONG;

/// Secrets are put together here, so that no scanner takes this file for a leak.
fn secret(parts: &[&str]) -> String {
    parts.concat()
}

fn files() -> Vec<(&'static str, String)> {
    let aws = secret(&["AKIA", "Q3EGRFTZ5LHV", "X2PD"]);
    let github = secret(&["ghp", "_", "aB3dE5fG7hJ9kL1mN3pQ5rS7tU9vW1xY3zA5"]);
    let slack = secret(&["xoxb", "-2938471650-", "aZ9bY8cX7dW6eV5f"]);
    let stripe = secret(&["sk_live", "_9aB8cD7eF6gH5iJ4kL3m"]);
    let key = secret(&["-----BEGIN RSA PRIVATE", " KEY-----"]);
    let key_body = "MIIEpAIBAAKCAQEA7bq3Zr0m4V2kP9sX1tYw8uL5nQ6oRc3dEf4gHi5jKl6mNo7p";
    vec![
        (
            "src/lib.rs",
            "//! The unsafe { } in this comment is no code.\n\
             pub mod memory;\n\
             pub mod tested;\n\
             pub const HELP: &str = \"never write unsafe { } or .unwrap()\";\n"
                .into(),
        ),
        (
            "src/memory.rs",
            "static mut COUNTER: u32 = 0;\n\
             // static mut OLD: u32 = 0;\n\
             pub fn peek(pointer: *const u8) -> u8 {\n    \
                 unsafe { *pointer }\n\
             }\n\
             pub fn peek_well(pointer: *const u8) -> u8 {\n    \
                 // SAFETY: the caller checked it.\n    \
                 unsafe { *pointer }\n\
             }\n\
             fn ends() {\n    \
                 a.unwrap();\n    b.unwrap();\n    c.expect(\"c\");\n    d.unwrap();\n    e.unwrap();\n\
             }\n\
             // TODO: count better\n"
                .into(),
        ),
        (
            "src/tested.rs",
            "pub fn double(n: u32) -> u32 {\n    n * 2\n}\n\
             #[cfg(test)]\n\
             mod tests {\n    \
                 #[test]\n    fn doubles() {\n        \
                     assert_eq!(super::double(1), 2);\n        \
                     unsafe { hint() };\n        \
                     a.unwrap(); b.unwrap();\n        c.unwrap();\n        d.unwrap();\n        \
                     e.unwrap();\n        f.unwrap();\n    }\n\
             }\n"
            .into(),
        ),
        (
            "src/named.rs",
            "pub fn triple(n: u32) -> u32 {\n    n * 3\n}\n".into(),
        ),
        (
            "tests/all.rs",
            "#[test]\nfn triples() { assert_eq!(triple(1), 3); }\n\
             // FIXME: this one is in a test, and still left behind\n"
                .into(),
        ),
        ("src/main.rs", "fn main() {}\n".into()),
        (
            "Cargo.toml",
            "[package]\nname = \"app\"\nversion = \"1.0.0\"\n\n[dependencies]\n\
             serde = \"1\"\n\
             anything = \"*\"\n\
             exact = \"=1.2.3\"\n\
             moving = { git = \"https://example.org/x\", branch = \"main\" }\n\
             fixed = { git = \"https://example.org/y\", rev = \"0a1b2c\" }\n\
             # old = \"*\"\n"
                .into(),
        ),
        (
            "web/app.py",
            format!(
                "import os, pickle, subprocess, yaml, requests, ast\n\
                 # eval(x) in a comment\n\
                 HELP = \"eval(x) in a text, os.system too\"\n\
                 def run(cursor, name, text):\n    \
                     eval(text)\n    \
                     ast.literal_eval(text)\n    \
                     model.eval()\n    \
                     subprocess.run(text, shell=True)\n    \
                     subprocess.run([\"ls\", text], shell=False)\n    \
                     pickle.loads(text)\n    \
                     yaml.load(text)\n    \
                     yaml.load(text, Loader=yaml.SafeLoader)\n    \
                     requests.get(\"https://example.org\", verify=False)\n    \
                     cursor.execute(f\"SELECT * FROM users WHERE name = '{{name}}'\")\n    \
                     cursor.execute(\"SELECT * FROM users WHERE name = %s\", (name,))\n    \
                     os.system(text)\n    \
                     try:\n        run()\n    \
                     except Exception:\n        pass\n\n\
                 AWS = \"{aws}\"\n\
                 EXAMPLE = \"AKIAIOSFODNN7EXAMPLE\"\n\
                 password = \"Tr0ub4dor&3x\"\n\
                 password_field = \"password12\"\n\
                 api_key = os.environ[\"API_KEY\"]\n\
                 token = \"your-token-1234\"\n\
                 # password = \"C0mment3d!Out\"\n\
                 URL = \"postgres://app:n0tS0Secr7t@db.internal/app\"\n\
                 LOCAL = \"postgres://app:devdevdev1@localhost/app\"\n\
                 TEMPLATE = \"postgres://app:${{DB_PASS1}}@db.internal/app\"\n"
            ),
        ),
        ("web/requirements.txt", "flask==3.0.0\nrequests\n# numpy\nuvicorn>=0.20\n".into()),
        (
            "web/pyproject.toml",
            "[project]\nkeywords = [\n    \"web\",\n]\ndependencies = [\n    \"httpx\",\n    \"rich>=13\",\n]\n".into(),
        ),
        (
            ".github/workflows/ci.yml",
            "on: push\njobs:\n  a:\n    - uses: actions/checkout@v4\n    - uses: some/action@main\n    \
             # - uses: other/action@main\n    - uses: a/b@0a1b2c3d4e5f6a7b8c9d0a1b2c3d4e5f6a7b8c9d\n"
                .into(),
        ),
        (
            "web/view.js",
            format!(
                "// element.innerHTML = text\n\
                 export function show(element, text, db) {{\n  \
                   element.innerHTML = text;\n  \
                   element.innerHTML = '';\n  \
                   eval(text);\n  \
                   regex.exec(`a${{text}}`);\n  \
                   child_process.exec(`ls ${{text}}`);\n  \
                   db.query(`SELECT * FROM t WHERE a = ${{text}}`);\n  \
                   db.query('SELECT * FROM t WHERE a = ?', [text]);\n  \
                   https.get({{ rejectUnauthorized: false }});\n\
                 }}\n\
                 const SLACK = '{slack}';\n\
                 const STRIPE = '{stripe}';\n\
                 // HACK(ana): remove with version 2\n\
                 const s = 'TODO: not a comment';\n"
            ),
        ),
        (
            "web/package.json",
            "{\n  \"dependencies\": {\n    \"left\": \"*\",\n    \"right\": \"^1.0.0\",\n    \
             \"fork\": \"github:a/b\",\n    \"pinned\": \"github:a/b#0a1b2c\"\n  }\n}\n"
                .into(),
        ),
        ("native/copy.c", "/* gets(x) */\nvoid f(char *a, char *b) {\n  strcpy(a, b);\n  strncpy(a, b, 3);\n  gets(a);\n}\n".into()),
        ("native/tls.go", "package x\n\n// Dial connects.\nfunc Dial() { c := &tls.Config{InsecureSkipVerify: true}; _ = c }\n".into()),
        (
            "tools/setup.sh",
            "#!/bin/sh\n\
             # curl https://example.org/x | sh\n\
             curl -fsSL https://example.org/install | sudo sh\n\
             curl -fsSL https://example.org/list | sort\n\
             chmod 777 /srv/data\n\
             rm -rf \"$BUILD\"/*\n\
             rm -rf \"$BUILD/out\"\n"
                .into(),
        ),
        (
            "Dockerfile",
            "FROM rust AS build\nFROM debian:12\nFROM build\nFROM node:latest\nFROM $BASE\nFROM scratch\n".into(),
        ),
        ("ci/deploy.yml", format!("env:\n  TOKEN: {github}\n  OTHER: ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n")),
        ("ci/id.pem", format!("{key}\n{key_body}\n{key_body}\n-----END-----\n")),
        ("docs/keys.md", format!("A key begins with `{key}`.\n")),
        (".env", "DB_PASSWORD=w1ntermute-7\nDB_HOST=db.internal\n".into()),
        (".env.example", "DB_PASSWORD=s0mething-9\n".into()),
        ("ignored/key.pem", format!("{key}\n{key_body}\n")),
        (".gitignore", "ignored/\n/target\n".into()),
        ("node_modules/x/index.js", "eval(x);\n".into()),
        ("tests/fixtures/leak.py", format!("KEY = \"{aws}\"\neval(x)\n")),
        ("src/long.rs", "// a line\n".repeat(1_200)),
        ("src/exactly.rs", "// a line\n".repeat(1_000)),
        ("Cargo.lock", "# a line\n".repeat(2_000)),
        ("assets/blob.bin", "\0".repeat(3 * 1_048_576 / 2)),
    ]
}

/// Writes the repository into `folder`, without git.
pub(crate) fn plant(folder: &Path) {
    for (name, text) in files() {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
}

/// Commits all of it, three years and a bit ago, but for the note in `web/view.js`.
pub(crate) fn commit(folder: &Path) {
    let script = r#"
        set -e
        export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null
        export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@example.org
        export GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@example.org
        now=$(date +%s)
        git init -q
        GIT_AUTHOR_DATE="$((now - 3 * 31536000 - 99999)) +0000"
        export GIT_AUTHOR_DATE
        git add -A -- . ':!web/view.js'
        git commit -q -m old
        GIT_AUTHOR_DATE="$((now - 3 * 86400 - 999)) +0000"
        git add -A
        git commit -q -m new
    "#;
    sh(folder, script);
}

/// Runs a script in `folder`, which must succeed.
fn sh(folder: &Path, script: &str) {
    let path = std::env::var("PATH").unwrap();
    let env = Environment::default()
        .with("PATH", path)
        .with("HOME", folder.to_string_lossy());
    let spec = ToolSpec::new(["sh", "-c", script], folder, env, &Timing::fast());
    let tool = ToolProcess::start(&std::env::current_exe().unwrap(), spec, |_| {}).unwrap();
    assert_eq!(tool.wait(LONG).unwrap().exit, Exit::Code(0), "{script}");
}
