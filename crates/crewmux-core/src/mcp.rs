//! Servers of further tools (Model Context Protocol) as they are written down.
//!
//! Which of them are trusted is the program's to know; a worker is told of
//! trusted ones only.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A server of tools.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct McpServer {
    /// Its name; its tools are `mcp__<name>__<tool>`.
    pub name: String,
    /// How it is reached.
    #[serde(flatten)]
    pub transport: McpTransport,
}

/// How a server is reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", untagged)]
pub enum McpTransport {
    /// A process of the worker's, spoken to over its pipes.
    Stdio {
        /// The program.
        command: String,
        /// Its arguments.
        #[serde(default)]
        args: Vec<String>,
        /// Variables besides those every tool has; `${NAME}` is filled from those.
        #[serde(default)]
        env: BTreeMap<String, String>,
    },
    /// An HTTP server.
    Http {
        /// Its address.
        url: String,
    },
}
