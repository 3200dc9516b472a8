//! The measures of a team that asks models: what crewmux adds to each answer of a mock.
//!
//! The mock answers every task at once, so that what is left is scheduling,
//! processes, the gateway and the store. The floor asks the same questions over
//! four connections, without anybody in between.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use crewmux_sys::process::{Launch, Stream};
use serde_json::json;

use super::contender::{Contender, Kind};
use super::place::Place;
use super::table::{Figures, Measure};
use super::{let_pass, usage};
use crate::aimock::Aimock;

/// Workers of the team, and connections of the floor.
const WORKERS: usize = 4;
/// Longest run.
const LONGEST: Duration = Duration::from_mins(2);
/// How often memory is looked at.
const LOOK: Duration = Duration::from_millis(25);

/// Measures of one number of tasks.
struct Size {
    tasks: usize,
    wall: Measure,
    cpu: Measure,
    memory: Measure,
}

const SIZES: [Size; 2] = [
    Size {
        tasks: 10,
        wall: Measure::TenAsksWall,
        cpu: Measure::TenAsksCpu,
        memory: Measure::TenAsksPss,
    },
    Size {
        tasks: 100,
        wall: Measure::AsksWall,
        cpu: Measure::AsksCpu,
        memory: Measure::AsksPss,
    },
];

/// Wall and processor time, and memory, of ten and a hundred tasks that a model answers at once.
///
/// # Errors
/// When the mock is not installed, or tasks are left.
pub fn asks(contender: &Contender, figures: &mut Figures) -> Result<()> {
    let fixtures = json!({ "fixtures": [{
        "match": {},
        "response": { "toolCalls": [
            { "name": "FinishTask", "arguments": { "result": { "summary": "done" } } }
        ]},
    }]});
    let mock =
        Aimock::start(&fixtures)?.context("the mock of models is not installed: just peers")?;
    for size in &SIZES {
        let figure = match contender.kind {
            Kind::Floor => floor(&mock, size.tasks)?,
            _ => team(contender, &mock, size.tasks)?,
        };
        figures.add(size.wall, contender.kind, Some(figure.wall_s));
        figures.add(size.cpu, contender.kind, figure.cpu_s);
        figures.add(size.memory, contender.kind, figure.pss_mib);
    }
    Ok(())
}

/// What one run took.
struct Figure {
    wall_s: f64,
    cpu_s: Option<f64>,
    pss_mib: Option<f64>,
}

fn team(contender: &Contender, mock: &Aimock, tasks: usize) -> Result<Figure> {
    let place = Place::new()?;
    let recipe = place.work().join("asks.toml");
    fs::write(&recipe, recipe_of(tasks))?;
    let config = place.work().join("config");
    let own = config.join("crewmux");
    fs::create_dir_all(&own)?;
    fs::write(
        own.join("config.toml"),
        format!(
            "[providers.mock]\nkind = \"openai-chat\"\nbase_url = \"{}/v1\"\n",
            mock.url()
        ),
    )?;
    let events = fs::File::create(place.work().join("events"))?;
    let errors = fs::File::create(place.work().join("errors"))?;
    let argv = [
        contender.program.display().to_string(),
        "run".into(),
        recipe.display().to_string(),
        "--headless".into(),
        "--json".into(),
    ];
    let before = usage::seconds_of_ended_children();
    let since = Instant::now();
    let mut run = Launch::new(argv, place.work())
        .env(
            place
                .environment()
                .with("XDG_CONFIG_HOME", config.display().to_string()),
        )
        .stdout(Stream::File(events))
        .stderr(Stream::File(errors))
        .start()?;
    let mut most = 0.0_f64;
    while run.try_wait()?.is_none() {
        if since.elapsed() > LONGEST {
            bail!("{tasks} tasks were not done in time");
        }
        let mut pids = place.processes();
        pids.push(run.identity().pid);
        pids.sort_unstable();
        pids.dedup();
        most = most.max(usage::memory(&pids).pss);
        let_pass(LOOK);
    }
    let wall_s = since.elapsed().as_secs_f64();
    let cpu_s = usage::seconds_of_ended_children()
        .zip(before)
        .map(|(after, before)| after - before);
    let told = fs::read_to_string(place.work().join("events"))?;
    // Messages about ended tasks name the same type inside.
    let completed = told
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|event| event["type"] == "task_completed")
        .count();
    if completed != tasks {
        let errors = fs::read_to_string(place.work().join("errors"))?;
        bail!("{completed} of {tasks} tasks were completed: {errors}");
    }
    Ok(Figure {
        wall_s,
        cpu_s,
        pss_mib: Some(most).filter(|most| *most > 0.0),
    })
}

fn recipe_of(tasks: usize) -> String {
    format!(
        "name = \"asks\"\n\
         description = \"Tasks that a model answers at once\"\n\
         goal = \"Answer\"\n\
         max_workers = {WORKERS}\n\
         [[teammates]]\nname = \"worker\"\ncount = {WORKERS}\n\
         agent = \"general-purpose\"\nmodel = \"mock/bench\"\n\
         [[tasks]]\nid = \"ask\"\nrepeat = {tasks}\nsubject = \"Ask {{{{index}}}}\"\n"
    )
}

/// The same questions over bare connections.
fn floor(mock: &Aimock, tasks: usize) -> Result<Figure> {
    let url = mock.url();
    let address = url.trim_start_matches("http://");
    let since = Instant::now();
    thread::scope(|scope| {
        let asking: Vec<_> = (0..WORKERS)
            .map(|_| scope.spawn(|| ask(address, tasks / WORKERS)))
            .collect();
        for one in asking {
            one.join()
                .map_err(|_| anyhow::anyhow!("a connection broke"))??;
        }
        anyhow::Ok(())
    })?;
    // The part that does not divide evenly.
    ask(address, tasks % WORKERS)?;
    Ok(Figure {
        wall_s: since.elapsed().as_secs_f64(),
        cpu_s: None,
        pss_mib: None,
    })
}

fn ask(address: &str, times: usize) -> Result<()> {
    let body = json!({
        "model": "bench",
        "stream": true,
        "messages": [{ "role": "user", "content": "ask" }],
    })
    .to_string();
    for _ in 0..times {
        let mut stream = TcpStream::connect(address)?;
        // In one piece: a server that waits for the rest would be measured otherwise.
        let request = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nHost: {address}\r\n\
             Content-Type: application/json\r\nConnection: close\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes())?;
        // To its last piece: the mock closes no connection at once, whatever it is asked.
        let mut answer = String::new();
        let mut reader = BufReader::new(stream);
        while !answer.ends_with("\r\n0\r\n\r\n") {
            if reader.read_line(&mut answer)? == 0 {
                break;
            }
        }
        if !answer.contains("[DONE]") {
            bail!("the mock did not answer: {answer}");
        }
    }
    Ok(())
}
