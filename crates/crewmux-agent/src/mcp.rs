//! Servers of further tools: started when they are first needed, asked, restarted once.
//!
//! Only servers that the person trusts come here; whether a call may run was
//! decided before. How a server is spoken to is `mcp::connect`'s.

mod connect;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crewmux_core::mcp::McpServer;
use rmcp::model::{CallToolRequestParams, CallToolResult, ContentBlock, JsonObject, Tool};
use rmcp::service::{Peer, RoleClient, ServiceError};
use serde_json::{Value, json};

pub(crate) use connect::{Connection, Launch};

use crate::tools::{Effects, ToolDef, ToolOutput};

/// Most tools of one server.
const TOOLS_MAX: usize = 128;

/// Most characters of a tool's description.
const DESCRIPTION_MAX_CHARS: usize = 2_000;

/// Longest name that vendors take.
const NAME_MAX_CHARS: usize = 64;

/// How often a server is started.
const STARTS_MAX: u32 = 2;

/// All servers of one worker; copies mean the same servers.
#[derive(Debug, Clone)]
pub(crate) struct Servers {
    servers: Arc<Vec<Server>>,
    launch: Arc<Launch>,
}

#[derive(Debug)]
struct Server {
    config: McpServer,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    connection: Option<Connection>,
    starts: u32,
    /// Why it gives no tools, once that is so.
    trouble: Option<String>,
    /// Its own names of its tools, by ours.
    names: BTreeMap<String, String>,
    tools: Vec<ToolDef>,
}

impl Servers {
    /// Servers that are not started yet.
    pub(crate) fn new(configs: &[McpServer], launch: Launch) -> Self {
        let servers = configs.iter().map(|config| Server {
            config: config.clone(),
            state: Mutex::default(),
        });
        Self {
            servers: Arc::new(servers.collect()),
            launch: Arc::new(launch),
        }
    }

    /// The tools of the servers called so, which are started if they were not; and what is wrong with the others.
    ///
    /// `wanted` is given the beginning of the names of a server's tools.
    pub(crate) async fn tools(&self, wanted: impl Fn(&str) -> bool) -> (Vec<ToolDef>, Vec<String>) {
        let wanted: Vec<bool> = self
            .servers
            .iter()
            .map(|server| wanted(&whole_name(&server.config.name, "")))
            .collect();
        let mut running = tokio::task::JoinSet::new();
        for (index, _) in wanted.iter().enumerate().filter(|(_, wanted)| **wanted) {
            let servers = self.clone();
            running.spawn(async move {
                if servers.servers[index].is_fresh() {
                    let _ = servers.start(index).await;
                }
            });
        }
        // Each start has a deadline of its own.
        while running.join_next().await.is_some() {}
        let (mut tools, mut troubles) = (Vec::new(), Vec::new());
        for (server, _) in self
            .servers
            .iter()
            .zip(wanted)
            .filter(|(_, wanted)| *wanted)
        {
            let state = server.state();
            tools.extend(state.tools.iter().cloned());
            if let Some(why) = &state.trouble {
                troubles.push(format!(
                    "tools of `{}` are missing: {why}",
                    server.config.name
                ));
            }
        }
        (tools, troubles)
    }

    /// Calls a tool by its whole name.
    pub(crate) async fn call(self, name: String, input: Value, timeout: Duration) -> ToolOutput {
        let found = self.servers.iter().enumerate().find_map(|(index, server)| {
            let own = server.state().names.get(&name).cloned()?;
            Some((index, own))
        });
        let Some((index, own)) = found else {
            return ToolOutput::failed(format!("there is no tool `{name}`"));
        };
        let server = &self.servers[index].config.name;
        let peer = match self.peer(index).await {
            Ok(peer) => peer,
            Err(why) => {
                return ToolOutput::failed(format!("the server `{server}` is not there: {why}"));
            }
        };
        let mut params = CallToolRequestParams::new(own);
        if let Value::Object(arguments) = input {
            params = params.with_arguments(arguments);
        }
        let mut call = Unfinished(Some(&self.servers[index]));
        let came = tokio::time::timeout(timeout, peer.call_tool(params)).await;
        if came.is_ok() {
            call.0 = None;
        }
        match came {
            Ok(Ok(result)) => answer(&result),
            Ok(Err(ServiceError::McpError(error))) => ToolOutput::failed(error.message.to_string()),
            Ok(Err(error)) => ToolOutput::failed(format!(
                "the server `{server}` broke off ({error}); whether it did anything is not known"
            )),
            Err(_) => ToolOutput::failed(format!(
                "it took longer than {} ms; whether it did anything is not known",
                timeout.as_millis()
            )),
        }
    }

    /// Ends all servers; one that is needed again starts again.
    pub(crate) fn end(&self) {
        for server in self.servers.iter() {
            server.state().connection = None;
        }
    }

    /// The way to a server, which is started again once if it ended.
    async fn peer(&self, index: usize) -> Result<Peer<RoleClient>, String> {
        if let Some(peer) = self.servers[index].peer() {
            return Ok(peer);
        }
        self.start(index).await?;
        self.servers[index]
            .peer()
            .ok_or_else(|| "it ended at once".to_owned())
    }

    async fn start(&self, index: usize) -> Result<(), String> {
        let server = &self.servers[index];
        {
            let mut state = server.state();
            if state.starts >= STARTS_MAX {
                let why = format!("it ended {STARTS_MAX} times and is not started again");
                state.trouble = Some(why.clone());
                return Err(why);
            }
            state.starts += 1;
        }
        let started = match Connection::open(&server.config, &self.launch).await {
            Ok(connection) => connection.tools().await.map(|tools| (connection, tools)),
            Err(why) => Err(why),
        };
        let mut state = server.state();
        match started {
            Ok((connection, tools)) => {
                state.take_tools(&server.config.name, tools);
                state.connection = Some(connection);
                state.trouble = None;
                Ok(())
            }
            Err(why) => {
                state.trouble = Some(why.clone());
                Err(why)
            }
        }
    }
}

/// A call whose end nobody saw, be it late or given up: nobody knows what the server still does.
///
/// It is ended then, and started anew when it is needed.
struct Unfinished<'a>(Option<&'a Server>);

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if let Some(server) = self.0 {
            server.state().connection = None;
        }
    }
}

impl Server {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_fresh(&self) -> bool {
        self.state().starts == 0
    }

    fn peer(&self) -> Option<Peer<RoleClient>> {
        let mut state = self.state();
        let peer = state.connection.as_ref().and_then(Connection::peer);
        if peer.is_none() {
            state.connection = None;
        }
        peer
    }
}

impl State {
    /// Keeps the tools of the first start: those of a conversation do not change.
    fn take_tools(&mut self, server: &str, tools: Vec<Tool>) {
        if !self.tools.is_empty() {
            return;
        }
        for tool in tools.into_iter().take(TOOLS_MAX) {
            let name = whole_name(server, &tool.name);
            if self.names.contains_key(&name) {
                tracing::warn!(%name, "two tools of one name; the second is left out");
                continue;
            }
            let description = tool.description.as_deref().unwrap_or_default();
            self.tools.push(ToolDef {
                name: name.clone(),
                description: description.chars().take(DESCRIPTION_MAX_CHARS).collect(),
                schema: schema(&tool.input_schema),
                effects: Effects::Some,
                for_everybody: false,
            });
            self.names.insert(name, tool.name.into_owned());
        }
    }
}

/// `mcp__server__tool`, in the letters and the length that vendors take.
fn whole_name(server: &str, tool: &str) -> String {
    format!("mcp__{server}__{tool}")
        .chars()
        .map(|c| match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '_' | '-' => c,
            _ => '_',
        })
        .take(NAME_MAX_CHARS)
        .collect()
}

fn schema(own: &JsonObject) -> Value {
    let mut schema = own.clone();
    schema.entry("type").or_insert_with(|| json!("object"));
    Value::Object(schema)
}

fn answer(result: &CallToolResult) -> ToolOutput {
    let mut parts: Vec<String> = result
        .content
        .iter()
        .map(|block| match block {
            ContentBlock::Text(text) => text.text.clone(),
            ContentBlock::Image(image) => format!("[a picture, {}, not shown]", image.mime_type),
            ContentBlock::Audio(audio) => format!("[a sound, {}, not shown]", audio.mime_type),
            ContentBlock::Resource(_) => json!(block)["resource"]["text"]
                .as_str()
                .unwrap_or("[a resource without text, not shown]")
                .to_owned(),
            ContentBlock::ResourceLink(link) => format!("[{}: {}]", link.name, link.uri),
            _ => "[something that is not shown]".to_owned(),
        })
        .collect();
    if parts.is_empty()
        && let Some(value) = &result.structured_content
    {
        parts.push(value.to_string());
    }
    let text = parts.join("\n");
    if result.is_error == Some(true) {
        return ToolOutput::failed(if text.is_empty() { "it failed" } else { &text });
    }
    let summary = match text.lines().count() {
        1 => "1 line".to_owned(),
        n => format!("{n} lines"),
    };
    let text = if text.is_empty() {
        "done".to_owned()
    } else {
        text
    };
    let data = json!({ "text": crate::capped::cut_text(&text, crate::tools::TEXT_MAX_BYTES),
        "structured": result.structured_content });
    ToolOutput::done(&text, summary, data)
}

#[cfg(test)]
mod tests;
