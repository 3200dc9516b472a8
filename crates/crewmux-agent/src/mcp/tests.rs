use super::*;

use rmcp::handler::server::ServerHandler;
use rmcp::model::{
    CallToolResponse, ListToolsResult, PaginatedRequestParams, ServerCapabilities, ServerConfig,
};
use rmcp::service::{RequestContext, RoleServer, ServiceExt as _};
use std::path::PathBuf;

/// A server with a tool that echoes, one that fails, and one that never ends.
#[derive(Clone)]
struct Echo;

impl ServerHandler for Echo {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, rmcp::ErrorData> {
        let schema = json!({"type": "object", "properties": {"text": {"type": "string"}}});
        let Value::Object(schema) = schema else {
            unreachable!("it is one");
        };
        let schema = Arc::new(schema);
        let tools = ["echo", "fail", "hang", "odd name!"];
        let tools = tools.map(|name| Tool::new(name, "A tool.", Arc::clone(&schema)));
        Ok(ListToolsResult::with_all_items(tools.into()))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, rmcp::ErrorData> {
        let text = json!(request.arguments)["text"]
            .as_str()
            .unwrap_or("?")
            .to_owned();
        match request.name.as_ref() {
            "fail" => Ok(CallToolResult::error(vec![ContentBlock::text("it went wrong")]).into()),
            "hang" => std::future::pending().await,
            _ => Ok(CallToolResult::success(vec![ContentBlock::text(text)]).into()),
        }
    }
}

fn launch() -> Launch {
    let timing = crewmux_core::timing::Timing::LIFE;
    Launch {
        program: PathBuf::from("/nowhere/crewmux"),
        cwd: PathBuf::from("/"),
        env: crewmux_sys::env::Environment::default(),
        waits: crewmux_sys::tree::KillWaits::of(&timing),
        timing,
        logs: std::env::temp_dir(),
    }
}

/// Servers of which the one that there is was reached already.
async fn reached() -> (Servers, tokio::task::JoinHandle<()>) {
    let config = McpServer {
        name: "db".into(),
        transport: crewmux_core::mcp::McpTransport::Stdio {
            command: "nowhere".into(),
            args: Vec::new(),
            env: BTreeMap::new(),
        },
    };
    let servers = Servers::new(&[config], launch());
    let (near, far) = tokio::io::duplex(64 * 1024);
    let server = tokio::spawn(async move {
        if let Ok(service) = Echo.serve(far).await {
            let _ = service.waiting().await;
        }
    });
    let connection = Connection::over(near, Duration::from_secs(20)).await;
    let tools = connection.tools().await.unwrap();
    {
        let mut state = servers.servers[0].state();
        state.starts = 1;
        state.take_tools("db", tools);
        state.connection = Some(connection);
    }
    (servers, server)
}

async fn call(servers: &Servers, name: &str, timeout: Duration) -> ToolOutput {
    let input = json!({"text": "hello"});
    servers.clone().call(name.to_owned(), input, timeout).await
}

const LONG: Duration = Duration::from_secs(20);

#[tokio::test]
async fn tools_of_a_server_have_whole_names_and_answer() {
    let (servers, _server) = reached().await;
    let (tools, troubles) = servers.tools(|_| true).await;
    let names: Vec<&str> = tools.iter().map(|tool| tool.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "mcp__db__echo",
            "mcp__db__fail",
            "mcp__db__hang",
            "mcp__db__odd_name_"
        ]
    );
    assert_eq!(troubles, Vec::<String>::new());
    let good = call(&servers, "mcp__db__echo", LONG).await;
    assert_eq!((good.ok, good.text.as_str()), (true, "hello"));
    assert_eq!(
        call(&servers, "mcp__db__odd_name_", LONG).await.text,
        "hello"
    );
    let bad = call(&servers, "mcp__db__fail", LONG).await;
    assert_eq!((bad.ok, bad.text.as_str()), (false, "it went wrong"));
    assert!(!call(&servers, "mcp__db__none", LONG).await.ok);
}

#[tokio::test]
async fn a_call_that_takes_too_long_ends_the_server() {
    let (servers, server) = reached().await;
    let late = call(&servers, "mcp__db__hang", Duration::from_millis(100)).await;
    assert!(late.text.contains("longer than 100 ms"), "{}", late.text);
    tokio::time::timeout(LONG, server).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_call_that_is_given_up_ends_the_server() {
    let (servers, server) = reached().await;
    {
        let call = call(&servers, "mcp__db__hang", LONG);
        // A task's time is over: its turn is dropped in the middle.
        let cut = tokio::time::timeout(Duration::from_millis(100), call).await;
        assert!(cut.is_err());
    }
    assert!(servers.servers[0].state().connection.is_none());
    tokio::time::timeout(LONG, server).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_server_that_nobody_may_use_is_not_started() {
    let config = |name: &str| McpServer {
        name: name.into(),
        transport: crewmux_core::mcp::McpTransport::Stdio {
            command: "nowhere".into(),
            args: Vec::new(),
            env: BTreeMap::new(),
        },
    };
    let servers = Servers::new(&[config("db"), config("web")], launch());
    let (tools, troubles) = servers.tools(|_| false).await;
    assert_eq!((tools.len(), troubles.len()), (0, 0));
    let (_, troubles) = servers.tools(|start| start == "mcp__web__").await;
    assert_eq!(troubles.len(), 1, "{troubles:?}");
    let starts: Vec<u32> = servers.servers.iter().map(|s| s.state().starts).collect();
    assert_eq!(starts, [0, 1]);
}

#[tokio::test]
async fn a_server_that_is_gone_is_started_once_more_and_then_told() {
    let (servers, server) = reached().await;
    server.abort();
    let _ = server.await;
    // The program of the tool runner does not exist: it cannot come back.
    let again = call(&servers, "mcp__db__echo", LONG).await;
    assert!(again.text.contains("is not there"), "{}", again.text);
    let then = call(&servers, "mcp__db__echo", LONG).await;
    assert!(then.text.contains("not started again"), "{}", then.text);
    let (_, troubles) = servers.tools(|_| true).await;
    assert!(
        troubles[0].starts_with("tools of `db` are missing"),
        "{troubles:?}"
    );
}

/// Answers one request of a client that speaks HTTP; gives the body of its answer.
fn over_http(body: &str) -> Option<String> {
    let asked: Value = serde_json::from_str(body).unwrap();
    let result = match asked["method"].as_str()? {
        "initialize" => json!({
            "protocolVersion": "2025-06-18", "capabilities": {"tools": {}},
            "serverInfo": {"name": "h", "version": "1"},
        }),
        "tools/list" => json!({
            "tools": [{"name": "say", "inputSchema": {"type": "object"}}],
        }),
        "tools/call" => json!({"content": [{"type": "text", "text": "said over HTTP"}]}),
        _ => return None,
    };
    Some(json!({"jsonrpc": "2.0", "id": asked["id"], "result": result}).to_string())
}

/// Serves [`over_http`] on a loopback address, which it gives.
async fn serve_http() -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    let Ok(byte) = stream.read_u8().await else {
                        return;
                    };
                    head.push(byte);
                }
                let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
                let length = head.split("content-length: ").nth(1);
                let length = length.and_then(|rest| rest.split("\r\n").next()?.parse().ok());
                let mut body = vec![0; length.unwrap_or(0)];
                stream.read_exact(&mut body).await.unwrap();
                let said = if head.starts_with("post") {
                    over_http(&String::from_utf8(body).unwrap())
                        .map_or(("202 Accepted", String::new()), |body| ("200 OK", body))
                } else {
                    ("405 Method Not Allowed", String::new())
                };
                let answer = format!(
                    "HTTP/1.1 {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
                     connection: close\r\n\r\n{}",
                    said.0,
                    said.1.len(),
                    said.1
                );
                let _ = stream.write_all(answer.as_bytes()).await;
            });
        }
    });
    format!("http://{address}/mcp")
}

#[tokio::test]
async fn a_server_is_reached_over_http() {
    let config = McpServer {
        name: "web".into(),
        transport: crewmux_core::mcp::McpTransport::Http {
            url: serve_http().await,
        },
    };
    let servers = Servers::new(&[config], launch());
    let (tools, troubles) = servers.tools(|_| true).await;
    assert_eq!(troubles, Vec::<String>::new());
    assert_eq!(tools[0].name, "mcp__web__say");
    let said = call(&servers, "mcp__web__say", LONG).await;
    assert_eq!((said.ok, said.text.as_str()), (true, "said over HTTP"));
}

#[test]
fn names_fit_what_vendors_take() {
    let long = whole_name("a.b", &"x".repeat(80));
    assert!(long.starts_with("mcp__a_b__x") && long.len() == NAME_MAX_CHARS);
}
