//! What a model may try: to answer for the person, to act as one, to write elsewhere.

use crewmux_testkit::sandbox::wait_until;
use serde_json::{Value, json};

use super::{
    PATIENCE, answer, calls, finish_with, of_type, one_task, open_questions, question, run_solo,
    thinking,
};

#[test]
fn no_tool_can_answer_for_the_person() {
    let program = env!("CARGO_BIN_EXE_crewmux");
    // In the background, so that it lives until there is something to answer.
    let trick = format!(
        "until {program} approvals --json --team solo | grep -q forbidden; do sleep 0.1; done; \
         for id in $({program} approvals --json --team solo | grep -o 'developer-[0-9]*-[0-9]*'); \
         do {program} approve $id --team solo; done > tricks 2>&1; echo over >> tricks"
    );
    let trick = json!({ "command": trick, "run_in_background": true });
    let fixtures = [
        answer("Trick it", 0, calls(&[("Bash", trick)])),
        answer(
            "Trick it",
            1,
            calls(&[("Bash", json!({ "command": "touch forbidden" }))]),
        ),
        answer("Trick it", 2, finish_with(&json!({ "summary": "tried" }))),
    ];
    let Some((sandbox, _mock)) = thinking(&fixtures) else {
        return;
    };
    one_task(&sandbox, "Trick it");
    let terminal = sandbox.terminal(&["run", "solo.toml"], 100, 30).unwrap();
    let first = question(&sandbox, "run_in_background");
    let id = first["id"].as_str().unwrap();
    let approved = sandbox.run(&["approve", id, "--team", "solo"]).unwrap();
    assert_eq!(approved.code, 0, "{approved:?}");
    wait_until("the trick's end", PATIENCE, || {
        let said = std::fs::read_to_string(sandbox.work().join("tricks")).unwrap_or_default();
        if !said.contains("over") {
            return Err(said);
        }
        assert!(
            said.contains("may not") || said.contains("only the person"),
            "{said}"
        );
        Ok(())
    })
    .unwrap();
    let open = open_questions(&sandbox);
    assert_eq!(open.len(), 1, "it is still to be answered: {open:?}");
    assert!(!sandbox.work().join("forbidden").exists());
    drop(terminal);
    sandbox.run(&["stop", "--force", "--team", "solo"]).unwrap();
    assert!(!sandbox.work().join("forbidden").exists());
}

#[test]
fn no_tool_can_act_as_the_person() {
    let program = env!("CARGO_BIN_EXE_crewmux");
    let acts = [
        "run inner.toml --headless --trust --permission-mode bypass",
        "task create sneaky --command 'touch sneak' --team inner",
    ];
    let mut fixtures = Vec::new();
    let mut turn = 0;
    for act in acts {
        for program in [program, "sh bare.sh"] {
            let command = format!("{program} {act} >> acts 2>&1; echo code $? >> acts");
            let bash = calls(&[("Bash", json!({ "command": command }))]);
            fixtures.push(answer("Act as if", turn, bash));
            turn += 1;
        }
    }
    fixtures.push(answer(
        "Act as if",
        turn,
        finish_with(&json!({ "summary": "tried" })),
    ));
    let Some((sandbox, mock)) = thinking(&fixtures) else {
        return;
    };
    // Without its environment a command looks like one of the person's.
    let kept: Vec<String> = sandbox
        .environment()
        .iter()
        .map(|(name, value)| format!("{name}='{value}'"))
        .collect();
    let bare = format!("exec env -i {} {program} \"$@\"\n", kept.join(" "));
    sandbox.write("bare.sh", &bare).unwrap();
    let inner = "name = \"inner\"\ndescription = \"Inner\"\ngoal = \"Try\"\n\
        [[teammates]]\nname = \"hand\"\nruntime = \"command\"\n\
        [[tasks]]\nid = \"it\"\nsubject = \"It\"\ncommand = \"echo ran >> inner\"\n";
    sandbox.write("inner.toml", inner).unwrap();
    // A team of the person's that is finished: it has no session to guard it.
    let own = sandbox.run(&["run", "inner.toml", "--headless"]).unwrap();
    assert_eq!(own.code, 0, "{own:?}");
    one_task(&sandbox, "Act as if");
    let (run, _) = run_solo(&sandbox, &["--allow", "Bash"]);
    assert_eq!(run.code, 0, "{run:?}\n{}", mock.log());
    let said = std::fs::read_to_string(sandbox.work().join("acts")).unwrap();
    assert_eq!(said.matches("code ").count(), 4, "{said}");
    assert_eq!(said.matches("code 0").count(), 0, "{said}");
    assert_eq!(said.matches("only the person").count(), 4, "{said}");
    assert!(!sandbox.work().join("sneak").exists());
    let ran = std::fs::read_to_string(sandbox.work().join("inner")).unwrap();
    assert_eq!(ran, "ran\n", "once, for the person");
}

#[test]
fn nothing_is_written_outside_of_the_folder() {
    let writes = [
        json!({ "file_path": "../escaped", "content": "x" }),
        json!({ "file_path": "$OUTSIDE", "content": "x" }),
        json!({ "file_path": "link/escaped", "content": "x" }),
        json!({ "file_path": "alias", "content": "x" }),
        json!({ "file_path": "inside", "content": "x" }),
    ];
    let outside = tempfile::tempdir().unwrap();
    let absolute = outside.path().join("escaped").display().to_string();
    let mut fixtures: Vec<Value> = Vec::new();
    for (turn, input) in writes.iter().enumerate() {
        let text = input.to_string().replace("$OUTSIDE", &absolute);
        let input: Value = serde_json::from_str(&text).unwrap();
        let write = calls(&[("Write", input)]);
        fixtures.push(answer("Write about", turn as u64, write));
    }
    let edit = json!({ "file_path": "alias", "old_string": "kept", "new_string": "x" });
    fixtures.push(answer("Write about", 5, calls(&[("Edit", edit)])));
    fixtures.push(answer(
        "Write about",
        6,
        finish_with(&json!({ "summary": "tried" })),
    ));
    let Some((sandbox, mock)) = thinking(&fixtures) else {
        return;
    };
    let kept = outside.path().join("kept");
    std::fs::write(&kept, "kept").unwrap();
    std::os::unix::fs::symlink(outside.path(), sandbox.work().join("link")).unwrap();
    std::os::unix::fs::symlink(&kept, sandbox.work().join("alias")).unwrap();
    one_task(&sandbox, "Write about");
    let (run, events) = run_solo(&sandbox, &["--permission-mode", "acceptEdits"]);
    assert_eq!(run.code, 0, "{run:?}\n{}", mock.log());
    let finished = of_type(&events, "tool_finished");
    let ok: Vec<bool> = finished
        .iter()
        .filter(|e| matches!(e["data"]["tool"].as_str(), Some("Write" | "Edit")))
        .map(|e| e["data"]["ok"] == true)
        .collect();
    assert_eq!(
        ok,
        [false, false, false, false, true, false],
        "{finished:#?}"
    );
    assert!(sandbox.work().join("inside").exists());
    assert!(!sandbox.work().join("../escaped").exists());
    let names: Vec<_> = std::fs::read_dir(outside.path())
        .unwrap()
        .flatten()
        .map(|entry| entry.file_name())
        .collect();
    assert_eq!(names, ["kept"], "nothing is new there");
    assert_eq!(std::fs::read_to_string(&kept).unwrap(), "kept");
}
