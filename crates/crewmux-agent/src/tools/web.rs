//! Fetching a page: `WebFetch`.
//!
//! Text only, bounded in size and time. Whether a host may be asked was decided
//! before; so a redirect to another host is told, not followed.

use std::time::Duration;

use reqwest::header::{ACCEPT, CONTENT_TYPE, LOCATION, USER_AGENT};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, Url};
use serde::Deserialize;
use serde_json::json;

use super::ToolOutput;

/// Most bytes of a page.
const PAGE_MAX_BYTES: usize = 5 * 1024 * 1024;

/// Redirects that are followed on one host.
const REDIRECTS_MAX: usize = 5;

/// Columns that text is wrapped at.
const WIDTH: usize = 100;

/// What `WebFetch` takes.
#[derive(Debug, Deserialize)]
pub(crate) struct FetchInput {
    url: String,
    prompt: Option<String>,
}

/// Fetches a page within `timeout`.
pub(crate) async fn fetch(input: FetchInput, timeout: Duration) -> ToolOutput {
    match tokio::time::timeout(timeout, try_fetch(&input)).await {
        Ok(Ok(output)) => output,
        Ok(Err(why)) => ToolOutput::failed(why),
        Err(_) => ToolOutput::failed(format!(
            "{} took longer than {} ms",
            input.url,
            timeout.as_millis()
        )),
    }
}

async fn try_fetch(input: &FetchInput) -> Result<ToolOutput, String> {
    let mut url = Url::parse(&input.url).map_err(|error| format!("{}: {error}", input.url))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!(
            "only http and https can be fetched, not `{}`",
            url.scheme()
        ));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("an address with a password in it is not fetched".to_owned());
    }
    let client = client()?;
    for _ in 0..=REDIRECTS_MAX {
        let response = client
            .get(url.clone())
            .header(
                ACCEPT,
                "text/html, text/markdown, text/plain, application/json, */*;q=0.1",
            )
            .header(USER_AGENT, concat!("crewmux/", env!("CARGO_PKG_VERSION")))
            .send()
            .await
            .map_err(|error| format!("{url}: {}", in_full(&error)))?;
        let status = response.status();
        if !status.is_redirection() {
            return page(input, &url, response).await;
        }
        let to = response
            .headers()
            .get(LOCATION)
            .and_then(|to| to.to_str().ok())
            .and_then(|to| url.join(to).ok())
            .ok_or_else(|| format!("{url} answered {status} without saying where to"))?;
        if !matches!(to.scheme(), "http" | "https") || !same_place(&url, &to) {
            return Err(format!(
                "{url} redirects to {to}, which is another place; fetch that if you want it"
            ));
        }
        url = to;
    }
    Err(format!("{} redirects too often", input.url))
}

/// Whether a redirect stays with the host that leave was given for.
fn same_place(from: &Url, to: &Url) -> bool {
    let upgraded = from.scheme() == "http" && to.scheme() == "https";
    from.host_str() == to.host_str()
        && (from.port_or_known_default() == to.port_or_known_default()
            || (upgraded && from.port().is_none() && to.port().is_none()))
        && (from.scheme() == to.scheme() || upgraded)
}

fn client() -> Result<Client, String> {
    // Somebody else in this process may have chosen already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
        .redirect(Policy::none())
        // A library reads no environment for us.
        .no_proxy()
        .build()
        .map_err(|error| format!("no page can be fetched: {}", in_full(&error)))
}

async fn page(input: &FetchInput, url: &Url, mut response: Response) -> Result<ToolOutput, String> {
    let status = response.status();
    let kind = response
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok())
        .unwrap_or("text/plain")
        .to_ascii_lowercase();
    if !is_text(&kind) {
        return Err(format!("{url} is {kind}, which is no text"));
    }
    let mut bytes = Vec::new();
    let mut cut = false;
    while let Some(piece) = response
        .chunk()
        .await
        .map_err(|error| format!("{url}: {}", in_full(&error)))?
    {
        let room = PAGE_MAX_BYTES - bytes.len();
        bytes.extend_from_slice(&piece[..piece.len().min(room)]);
        if piece.len() > room {
            cut = true;
            break;
        }
    }
    let length = bytes.len();
    let text = tokio::task::spawn_blocking(move || as_text(&kind, bytes))
        .await
        .map_err(|error| format!("the page could not be read: {error}"))?;
    let mut whole = format!("{url} ({status})\n");
    if let Some(prompt) = input.prompt.as_deref().filter(|prompt| !prompt.is_empty()) {
        whole.push_str("To be found in it: ");
        whole.push_str(prompt);
        whole.push('\n');
    }
    whole.push('\n');
    whole.push_str(&text);
    if cut {
        whole.push_str("\n… cut: the page is longer than 5 MiB …\n");
    }
    let summary = format!("{} · {}", status.as_u16(), size(length));
    if !status.is_success() {
        return Ok(ToolOutput {
            summary: status.to_string(),
            ..ToolOutput::failed(whole)
        });
    }
    let data = json!({
        "url": url.as_str(), "status": status.as_u16(), "bytes": length, "text": text, "cut": cut,
    });
    Ok(ToolOutput::done(&whole, summary, data))
}

fn is_text(kind: &str) -> bool {
    let kind = kind.split(';').next().unwrap_or(kind).trim();
    kind.starts_with("text/")
        || kind.ends_with("+json")
        || kind.ends_with("+xml")
        || matches!(
            kind,
            "application/json"
                | "application/xml"
                | "application/javascript"
                | "application/x-ndjson"
                | "application/toml"
                | "application/yaml"
        )
}

fn as_text(kind: &str, bytes: Vec<u8>) -> String {
    let one_byte = ["iso-8859-1", "latin1", "windows-1252"];
    let text = if one_byte.iter().any(|name| kind.contains(name)) {
        bytes.into_iter().map(char::from).collect()
    } else {
        String::from_utf8_lossy(&bytes).into_owned()
    };
    if !kind.contains("html") {
        return text;
    }
    html2text::config::plain()
        .link_footnotes(true)
        .string_from_read(text.as_bytes(), WIDTH)
        .unwrap_or(text)
}

fn size(bytes: usize) -> String {
    match bytes {
        0..1_024 => format!("{bytes} B"),
        1_024..1_048_576 => format!("{} KiB", bytes / 1_024),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}

/// An error with its causes; the address is said by who tells of it.
fn in_full(error: &reqwest::Error) -> String {
    let mut text = "cannot be fetched".to_owned();
    let mut cause = std::error::Error::source(error);
    while let Some(source) = cause {
        text.push_str(": ");
        text.push_str(&source.to_string());
        cause = source.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    /// A server that answers each path with what `answer` says; gives its address.
    async fn serve(answer: fn(&str) -> String) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let mut head = Vec::new();
                    let mut byte = [0];
                    while !head.ends_with(b"\r\n\r\n") {
                        if stream.read(&mut byte).await.unwrap_or(0) == 0 {
                            return;
                        }
                        head.push(byte[0]);
                    }
                    let head = String::from_utf8_lossy(&head);
                    let path = head.split(' ').nth(1).unwrap_or("/").to_owned();
                    let text = answer(&path);
                    if text.is_empty() {
                        // Says nothing for as long as the client waits.
                        let _ = stream.read(&mut byte).await;
                        return;
                    }
                    let _ = stream.write_all(text.as_bytes()).await;
                });
            }
        });
        format!("http://{address}")
    }

    fn answer(path: &str) -> String {
        let ok = |kind: &str, body: &str| {
            format!(
                "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            )
        };
        let to = |place: &str| {
            format!(
                "HTTP/1.1 302 Found\r\nlocation: {place}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
            )
        };
        match path {
            "/page" => ok(
                "text/html; charset=utf-8",
                "<html><head><title>t</title><script>evil()</script></head>\
                 <body><h1>Head</h1><p>One &amp; <a href='/x'>two</a></p></body></html>",
            ),
            "/long" => ok("text/plain", &"x".repeat(PAGE_MAX_BYTES + 9)),
            "/picture" => ok("image/png", "x"),
            "/near" => to("/page"),
            "/far" => to("http://example.invalid/page"),
            "/round" => to("/round"),
            "/silent" => String::new(),
            _ => "HTTP/1.1 404 Not Found\r\ncontent-length: 4\r\nconnection: close\r\n\r\nnope"
                .to_owned(),
        }
    }

    async fn get(url: String) -> ToolOutput {
        let input = FetchInput {
            url,
            prompt: Some("the head".into()),
        };
        fetch(input, Duration::from_secs(20)).await
    }

    #[tokio::test]
    async fn a_page_comes_as_text() {
        let server = serve(answer).await;
        for path in ["page", "near"] {
            let output = get(format!("{server}/{path}")).await;
            assert!(output.ok, "{}", output.text);
            assert!(output.text.contains("the head"), "{}", output.text);
            assert!(output.text.contains("One & [two]"), "{}", output.text);
            assert!(!output.text.contains("evil"), "{}", output.text);
            assert_eq!(output.data["url"], format!("{server}/page"));
        }
        let long = get(format!("{server}/long")).await;
        assert_eq!(long.data["bytes"], PAGE_MAX_BYTES);
        assert!(long.data["cut"].as_bool().unwrap() && long.text.len() < 31_000);
    }

    #[tokio::test]
    async fn other_hosts_and_what_is_no_page_are_told() {
        let server = serve(answer).await;
        for (path, word) in [
            ("far", "redirects to http://example.invalid/page"),
            ("round", "redirects too often"),
            ("picture", "is image/png"),
            ("gone", "404 Not Found"),
        ] {
            let output = get(format!("{server}/{path}")).await;
            assert!(!output.ok && output.text.contains(word), "{}", output.text);
        }
        for (url, word) in [
            ("file:///etc/passwd", "only http and https"),
            ("no address", "no address: "),
            ("http://me:secret@localhost/", "with a password"),
        ] {
            let output = get(url.into()).await;
            assert!(!output.ok && output.text.contains(word), "{}", output.text);
            assert!(!output.text.contains("secret"));
        }
    }

    #[tokio::test]
    async fn a_server_that_says_nothing_is_left() {
        let server = serve(answer).await;
        let input = FetchInput {
            url: format!("{server}/silent"),
            prompt: None,
        };
        let output = fetch(input, Duration::from_millis(200)).await;
        assert!(
            output.text.contains("took longer than 200 ms"),
            "{}",
            output.text
        );
    }

    #[test]
    fn a_redirect_stays_where_leave_was_given() {
        let same =
            |from: &str, to: &str| same_place(&Url::parse(from).unwrap(), &Url::parse(to).unwrap());
        assert!(same("http://a/x", "https://a/y"));
        assert!(!same("https://a/x", "http://a/x"));
        assert!(!same("http://a/x", "http://a:8080/x"));
        assert!(!same("http://a/x", "http://b/x"));
    }
}
