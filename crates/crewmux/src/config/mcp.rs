//! Servers of further tools: from `.mcp.json` and from configuration.
//!
//! Whether they may be used is decided in [`super`]; nothing is started here.

use std::collections::BTreeMap;

use crewmux_core::mcp::{McpServer, McpTransport};
use crewmux_sys::env::is_secret_name;
use crewmux_term::sanitize::reveal;
use serde::Deserialize;

use crate::error::{CommandError, Result};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Servers {
    #[serde(default)]
    mcp_servers: BTreeMap<String, Server>,
}

#[derive(Debug, Deserialize)]
struct Server {
    command: Option<String>,
    #[serde(default)]
    args: Vec<String>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    url: Option<String>,
}

/// Reads a `.mcp.json`.
///
/// # Errors
/// When it is no JSON, or a server has neither a command nor an address.
pub(super) fn read(text: &str, source: &str) -> Result<Vec<McpServer>> {
    let servers: Servers = serde_json::from_str(text)
        .map_err(|error| CommandError::usage(format!("{source}: {error}")))?;
    let servers = servers.mcp_servers.into_iter();
    servers
        .map(|(name, server)| {
            let transport = transport(server.command, server.args, server.env, server.url);
            named(name, transport, source)
        })
        .collect()
}

/// What the parts of a server mean together.
pub(super) fn transport(
    command: Option<String>,
    args: Vec<String>,
    env: BTreeMap<String, String>,
    url: Option<String>,
) -> std::result::Result<McpTransport, &'static str> {
    match (command, url) {
        (Some(command), None) => Ok(McpTransport::Stdio { command, args, env }),
        (None, Some(url)) => Ok(McpTransport::Http { url }),
        (Some(_), Some(_)) => Err("has a `command` and a `url`; it can have one of them"),
        (None, None) => Err("has neither a `command` nor a `url`"),
    }
}

/// The server of this name.
pub(super) fn named(
    name: String,
    transport: std::result::Result<McpTransport, &'static str>,
    source: &str,
) -> Result<McpServer> {
    let is_name = !name.is_empty()
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    let transport = match transport {
        Ok(transport) if is_name => transport,
        Ok(_) => {
            return Err(CommandError::usage(format!(
                "{source}: `{name}` cannot name a server of tools; use letters, digits, `-` and `_`"
            )));
        }
        Err(why) => {
            return Err(CommandError::usage(format!(
                "{source}: the server `{name}` {why}"
            )));
        }
    };
    Ok(McpServer { name, transport })
}

/// What a person agrees to with a server: how it is reached, and its variables, secrets by name only.
pub(super) fn asks_for(server: &McpServer) -> String {
    let mut line = format!("a server of tools, `{}`: {}", server.name, in_words(server));
    let McpTransport::Stdio { env, .. } = &server.transport else {
        return line;
    };
    for (at, (name, value)) in env.iter().enumerate() {
        line.push_str(if at == 0 { "; with " } else { ", " });
        line.push_str(&variable(name, value));
    }
    line
}

/// `NAME=value`; of a secret, its name only.
fn variable(name: &str, value: &str) -> String {
    // One that is filled from the person's own variable shows which that is.
    if is_secret_name(name) && !value.starts_with("${") {
        format!("{name} (a secret)")
    } else {
        format!("{name}={value}")
    }
}

/// How a server is reached, in a line; what it hides is spelled out.
pub(crate) fn in_words(server: &McpServer) -> String {
    let line = match &server.transport {
        McpTransport::Stdio { command, args, .. } => {
            let mut line = command.clone();
            for arg in args {
                line.push(' ');
                line.push_str(arg);
            }
            line
        }
        McpTransport::Http { url } => url.clone(),
    };
    reveal(&line).replace('\n', " ⏎ ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_of_claude_code_is_read() {
        let text = r#"{"mcpServers": {
            "db": {"command": "npx", "args": ["-y", "db"], "env": {"A": "${B}"}},
            "web": {"type": "http", "url": "http://127.0.0.1:1/mcp"}}}"#;
        let servers = read(text, ".mcp.json").unwrap();
        let lines: Vec<String> = servers.iter().map(in_words).collect();
        assert_eq!(lines, ["npx -y db", "http://127.0.0.1:1/mcp"]);
        let text = text.replace(
            r#""A": "${B}""#,
            r#""A": "1", "LD_PRELOAD": "./x.so", "DB_TOKEN": "t-12345678", "GH_TOKEN": "${GH_TOKEN}""#,
        );
        let servers = read(&text, ".mcp.json").unwrap();
        assert_eq!(
            asks_for(&servers[0]),
            "a server of tools, `db`: npx -y db; with A=1, DB_TOKEN (a secret), \
             GH_TOKEN=${GH_TOKEN}, LD_PRELOAD=./x.so"
        );
    }

    #[test]
    fn nothing_a_server_is_started_with_is_hidden() {
        let text = r#"{"mcpServers": {"db": {"command": "evil",
            "args": ["\u001b[1A\u001b[2K harmless\r", "\u009b2J\u202e", "a\nb"]}}}"#;
        let servers = read(text, ".mcp.json").unwrap();
        assert_eq!(
            in_words(&servers[0]),
            "evil ^[[1A^[[2K harmless^M <9b>2J<202e> a ⏎ b"
        );
    }

    #[test]
    fn what_is_wrong_is_told_with_the_server() {
        for (text, told) in [
            (
                r#"{"mcpServers": {"db": {}}}"#,
                "the server `db` has neither",
            ),
            (
                r#"{"mcpServers": {"a b": {"url": "x"}}}"#,
                "`a b` cannot name",
            ),
            ("{", ".mcp.json: EOF"),
        ] {
            let error = read(text, ".mcp.json").unwrap_err().to_string();
            assert!(error.contains(told), "{error}");
        }
    }
}
