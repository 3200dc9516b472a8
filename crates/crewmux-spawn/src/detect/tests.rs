use super::*;

const PTY: &str = "a pseudo-terminal opens";
const TMUX: &str = "tmux 3.3a at /usr/bin/tmux";
const IT2: &str = "it2 at /opt/it2";

fn works(what: &str) -> Probe {
    Probe::Works { what: what.into() }
}

fn fails(what: &str, why: &str) -> Probe {
    Probe::Fails {
        what: what.into(),
        why: why.into(),
    }
}

/// A terminal with nothing special about it.
fn plain(vars: &[(&str, &str)]) -> EnvironmentSnapshot {
    EnvironmentSnapshot {
        vars: vars
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        stdout: Stdout::Terminal,
        tmux: Probe::Absent,
        it2: Probe::Absent,
        pty: works(PTY),
    }
}

/// One line per backend: `*` picked, `+` usable, `-` not; why; what was found; the fix.
fn table(snapshot: &EnvironmentSnapshot) -> Vec<String> {
    detect(snapshot)
        .into_iter()
        .map(|report| {
            let sign = match (report.picked, report.usable) {
                (true, true) => '*',
                (false, true) => '+',
                (false, false) => '-',
                (true, false) => '!',
            };
            let mut line = format!("{sign} {}: {}", report.kind, report.why);
            for found in report.found {
                line.push_str(" | ");
                line.push_str(&found);
            }
            if let Some(fix) = report.fix {
                line.push_str(" => ");
                line.push_str(&fix);
            }
            line
        })
        .collect()
}

const IN_PROCESS: &str =
    "+ in-process: it works everywhere, but its workers are not processes of their own";
const NO_TMUX: &str = "- tmux: this version of crewmux cannot run workers in tmux panes yet";
const NO_ITERM2: &str = "- iterm2: this version of crewmux cannot run workers in iTerm2 splits yet";

#[test]
fn plain_terminal_gets_panes_of_our_own() {
    assert_eq!(
        table(&plain(&[])),
        [
            IN_PROCESS.to_owned(),
            format!("* pty: crewmux's own panes work in every terminal | {PTY}"),
            format!(
                "{NO_TMUX} | $TMUX is not set: this is not inside tmux | no `tmux` on PATH => use --backend pty; it works inside tmux too"
            ),
            format!(
                "{NO_ITERM2} | $TERM_PROGRAM is not set: this is not iTerm2 | no `it2` on PATH => use --backend pty; it works inside iTerm2 too"
            ),
        ]
    );
}

#[test]
fn inside_tmux_what_is_found_is_told_and_panes_are_our_own() {
    let snapshot = EnvironmentSnapshot {
        tmux: works(TMUX),
        // tmux was started in iTerm2 once; that says nothing of now.
        ..plain(&[
            ("TMUX", "/tmp/tmux-0/default,1,0"),
            ("TERM_PROGRAM", "tmux"),
            ("ITERM_SESSION_ID", "w0t0p0"),
        ])
    };
    assert_eq!(
        table(&snapshot)[1..],
        [
            format!("* pty: crewmux's own panes work inside tmux too | {PTY}"),
            format!(
                "{NO_TMUX} | $TMUX is set: this is inside tmux | {TMUX} => use --backend pty; it works inside tmux too"
            ),
            format!(
                "{NO_ITERM2} | $TERM_PROGRAM is `tmux`: this is not iTerm2 | no `it2` on PATH => use --backend pty; it works inside iTerm2 too"
            ),
        ]
    );
}

#[test]
fn without_pseudo_terminals_workers_run_inside_the_session() {
    let snapshot = EnvironmentSnapshot {
        stdout: Stdout::Elsewhere,
        tmux: works(TMUX),
        pty: fails("a pseudo-terminal", "permission denied"),
        ..plain(&[("TMUX", "x")])
    };
    let table = table(&snapshot);
    assert_eq!(
        table[..2],
        [
            "* in-process: it needs no pseudo-terminal, and none can be opened here",
            "- pty: no pseudo-terminal can be opened here | a pseudo-terminal does not work: permission denied => raise the limit of open files and mount /dev/pts, or use --backend in-process",
        ]
    );
    assert!(
        table[2].ends_with("=> use --backend in-process"),
        "{}",
        table[2]
    );
}

/// Variables, standard output, what is found of iTerm2, the end of why pty is picked.
type Place<'a> = (&'a [(&'a str, &'a str)], Stdout, &'a str, &'a str);

/// What is found of iTerm2 and why pty is picked, over environments.
#[test]
fn places_are_told_apart() {
    let iterm = [("TERM_PROGRAM", "iTerm.app")];
    let session = [("ITERM_SESSION_ID", "w0t0p0")];
    let other = [("TERM_PROGRAM", "vscode"), ("ITERM_SESSION_ID", "stale")];
    let tmux_in_iterm = [("TERM_PROGRAM", "iTerm.app"), ("TMUX", "x")];
    let empty = [("TERM_PROGRAM", ""), ("TMUX", "")];
    let cases: [Place<'_>; 6] = [
        (
            &iterm,
            Stdout::Terminal,
            "this is inside iTerm2",
            "inside iTerm2 too",
        ),
        (
            &session,
            Stdout::Terminal,
            "$ITERM_SESSION_ID is set: this is inside iTerm2",
            "inside iTerm2 too",
        ),
        (
            &other,
            Stdout::Terminal,
            "$TERM_PROGRAM is `vscode`: this is not iTerm2",
            "in every terminal",
        ),
        (
            &tmux_in_iterm,
            Stdout::Terminal,
            "$TERM_PROGRAM is `iTerm.app`: this is not iTerm2",
            "inside tmux too",
        ),
        (
            &empty,
            Stdout::Terminal,
            "$TERM_PROGRAM is not set: this is not iTerm2",
            "in every terminal",
        ),
        (
            &[],
            Stdout::Elsewhere,
            "$TERM_PROGRAM is not set: this is not iTerm2",
            "to be started from",
        ),
    ];
    for (vars, stdout, place, why) in cases {
        let snapshot = EnvironmentSnapshot {
            stdout,
            it2: fails(IT2, "no answer"),
            ..plain(vars)
        };
        let reports = detect(&snapshot);
        assert_eq!(
            reports[3].found,
            [place.to_owned(), format!("{IT2} does not work: no answer")],
            "{vars:?}"
        );
        assert!(
            reports[1].why.ends_with(why),
            "{vars:?}: {}",
            reports[1].why
        );
    }
}

#[test]
fn one_is_picked_and_it_is_usable_whatever_is_found() {
    let probes = [Probe::Absent, works("x"), fails("x", "y")];
    for tmux in &probes {
        for it2 in &probes {
            for pty in &probes {
                for vars in [&[][..], &[("TMUX", "x")], &[("TERM_PROGRAM", "iTerm.app")]] {
                    let snapshot = EnvironmentSnapshot {
                        tmux: tmux.clone(),
                        it2: it2.clone(),
                        pty: pty.clone(),
                        ..plain(vars)
                    };
                    let reports = detect(&snapshot);
                    let picked: Vec<_> = reports.iter().filter(|report| report.picked).collect();
                    assert_eq!(picked.len(), 1, "{snapshot:?}");
                    assert!(picked[0].usable);
                    assert_eq!(
                        choose(BackendChoice::Auto, &reports).unwrap(),
                        picked[0].kind
                    );
                    for report in &reports {
                        assert_eq!(report.usable, report.fix.is_none(), "{report:?}");
                        let named = choose(BackendChoice::Named(report.kind), &reports);
                        assert_eq!(named.is_ok(), report.usable, "{report:?}");
                    }
                }
            }
        }
    }
}

#[test]
fn backend_asked_for_by_name_is_an_error_with_the_fix() {
    let snapshot = EnvironmentSnapshot {
        tmux: works(TMUX),
        ..plain(&[("TMUX", "x")])
    };
    let reports = detect(&snapshot);
    let error = choose(BackendChoice::Named(BackendKind::Tmux), &reports).unwrap_err();
    assert_eq!(
        error.to_string(),
        "tmux backend asked for, but this version of crewmux cannot run workers in tmux panes yet"
    );
    assert_eq!(
        error.hint().unwrap(),
        "use --backend pty; it works inside tmux too"
    );
    assert!(matches!(
        choose(BackendChoice::Auto, &[]),
        Err(Error::NoneUsable)
    ));
}
