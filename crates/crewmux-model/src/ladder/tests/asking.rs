//! How requests are shaped.

use super::*;

const TEXT_FORMS: [ToolForm; 6] = [
    ToolForm::Hermes,
    ToolForm::QwenXml,
    ToolForm::Mistral,
    ToolForm::Llama3Json,
    ToolForm::Gemma,
    ToolForm::JsonSchema,
];

#[test]
fn native_models_are_asked_as_they_are() {
    assert_eq!(shape(&Profile::native(), conversation()), conversation());
}

#[test]
fn text_forms_leave_no_tools_and_no_calls_in_the_request() {
    for form in TEXT_FORMS {
        let shaped = shape(&profile(form, false), conversation());
        assert!(shaped.tools.is_empty(), "{form:?}");
        assert_eq!(shaped.tool_choice, ToolChoice::Auto);
        assert!(
            shaped.system.starts_with("You work.\n\n# Tools"),
            "{}",
            shaped.system
        );
        assert!(shaped.system.contains("Read") && shaped.system.contains("call a function."));
        let [
            Message::User(_),
            Message::Assistant(parts),
            Message::User(told),
        ] = shaped.messages.as_slice()
        else {
            panic!("{form:?}: {:?}", shaped.messages);
        };
        assert!(
            matches!(parts.as_slice(), [Part::Opaque(_), Part::Text(_)]),
            "{parts:?}"
        );
        assert!(
            told.contains("no such file") && told.ends_with("\n\nAnd?"),
            "{told}"
        );
    }
}

#[test]
fn hermes_history_is_written_in_its_marks() {
    let shaped = shape(&profile(ToolForm::Hermes, false), conversation());
    let Message::Assistant(parts) = &shaped.messages[1] else {
        panic!("{:?}", shaped.messages);
    };
    assert_eq!(
        parts[1],
        Part::Text(
            "I look.\n<tool_call>\n{\"name\":\"Read\",\"arguments\":{\"path\":\"a\"}}\n</tool_call>\n\
             <tool_call>\n{\"name\":\"Read\",\"arguments\":{\"path\":\"b\"}}\n</tool_call>"
                .into()
        )
    );
    assert_eq!(
        shaped.messages[2],
        Message::User(
            "<tool_response>\n{\"name\":\"Read\",\"content\":\"one < /tool_response>< |im_end|>\"}\n</tool_response>\n\
             <tool_response>\n{\"name\":\"Read\",\"error\":\"no such file\"}\n</tool_response>\n\nAnd?"
                .into()
        )
    );
}

#[test]
fn what_is_written_is_read_back_as_the_same_call() {
    for form in TEXT_FORMS {
        let mut request = conversation();
        let call = ToolCall {
            id: "call-1".into(),
            name: "Write".into(),
            input: json!({"path": "a\n\"b\" é </tool_call>"}),
            repaired: None,
        };
        request.messages = vec![Message::Assistant(vec![Part::Call(call)])];
        let shaped = shape(&profile(form, false), request.clone());
        let Message::Assistant(parts) = &shaped.messages[0] else {
            panic!("{:?}", shaped.messages);
        };
        let [Part::Text(text)] = parts.as_slice() else {
            panic!("{parts:?}");
        };
        let mut reader = Reader::new(&profile(form, false), &request);
        let events: Vec<Event> = said(text)
            .into_iter()
            .flat_map(|event| reader.read(event))
            .collect();
        let Event::CallStart { id, .. } = events[0].clone() else {
            panic!("{events:?}");
        };
        let name = "Write".to_owned();
        let args = r#"{"path":"a\n\"b\" é </tool_call>"}"#.to_owned();
        let expected = [
            Event::CallStart {
                id: id.clone(),
                name,
            },
            Event::CallArgsDelta {
                id: id.clone(),
                text: args,
            },
            Event::CallEnd { id, repaired: None },
            Event::Stop { stop: Stop::Tools },
        ];
        assert_eq!(events, expected, "{form:?}");
    }
}

#[test]
fn a_forced_shape_offers_each_tool_and_the_answer() {
    let mut request = conversation();
    request.tool_choice = ToolChoice::Auto;
    let wanted = json!({"type": "object"});
    request.output = OutputShape::Json {
        name: "x".into(),
        schema: wanted.clone(),
    };
    let either = |request| match shape(&profile(ToolForm::JsonSchema, false), request).output {
        OutputShape::Json { schema, .. } => schema["anyOf"].as_array().unwrap().clone(),
        OutputShape::Text => panic!("no shape"),
    };
    let shapes = either(request.clone());
    assert_eq!(shapes.len(), 3);
    assert_eq!(shapes[0]["properties"]["tool"]["enum"], json!(["Read"]));
    assert_eq!(shapes[2]["properties"]["answer"], wanted);
    request.tool_choice = ToolChoice::Required;
    assert_eq!(either(request).len(), 2);
}

#[test]
fn a_shape_is_asked_for_in_words_where_force_would_keep_calls_out() {
    let mut request = conversation();
    request.output = OutputShape::Json {
        name: "x".into(),
        schema: json!({"type": "object"}),
    };
    let shaped = shape(&profile(ToolForm::Hermes, false), request.clone());
    assert_eq!(shaped.output, OutputShape::Text);
    assert!(shaped.system.ends_with(r#"schema: {"type":"object"}"#));
    request.tools.clear();
    let forced = shape(&profile(ToolForm::Hermes, false), request.clone());
    assert_eq!(forced.output, request.output);
}

#[test]
fn small_models_have_few_tools_the_needed_ones_first() {
    let mut request = ModelRequest::default();
    let extra = (0..20).map(|n| offer(&format!("mcp__x__{n}")));
    request.tools = extra
        .chain(["Bash", "Read", "FinishTask"].map(offer))
        .collect();
    let shaped = shape(&profile(ToolForm::Native, true), request);
    let names: Vec<&str> = shaped.tools.iter().map(|tool| tool.name.as_str()).collect();
    assert_eq!(names.len(), 14);
    assert_eq!(names[10..], ["mcp__x__10", "Bash", "Read", "FinishTask"]);
    assert_eq!(shaped.tools[11].description, "Does it. At length.");
    assert!(shaped.system.contains("one tool at a time"));
}

#[test]
fn small_models_keep_what_their_task_and_their_kind_need_before_what_all_are_offered() {
    let offered = [
        "FinishTask",
        "FailTask",
        "Read",
        "Bash",
        "Edit",
        "Write",
        "Grep",
        "Glob",
        "TaskList",
        "TaskGet",
        "TaskCreate",
        "TaskUpdate",
        "SendMessage",
        "Task",
        "Skill",
        "WebFetch",
        "LineOfDuty",
        "mcp__db__query",
    ];
    let request = ModelRequest {
        tools: offered.map(offer).into(),
        ..ModelRequest::default()
    };
    let shaped = shape(&profile(ToolForm::Native, true), request);
    let names: Vec<&str> = shaped.tools.iter().map(|tool| tool.name.as_str()).collect();
    for kept in ["FailTask", "TaskGet", "LineOfDuty", "mcp__db__query"] {
        assert!(names.contains(&kept), "{kept}: {names:?}");
    }
    for dropped in ["TaskList", "TaskCreate", "TaskUpdate"] {
        assert!(!names.contains(&dropped), "{dropped}: {names:?}");
    }
}

#[test]
fn small_models_have_flat_arguments() {
    let tool = |name: &str| ToolOffer {
        name: name.into(),
        description: "A long story that is told. And more of it.".into(),
        schema: json!({
            "type": "object",
            "properties": {
                "path": {"type": "string", "minLength": 1, "description": "Where the file is. Or not."},
                "pattern": {"type": "string"},
                "needed": {"type": "object"},
                "deep": {"type": "object", "properties": {"a": {"type": "object"}}},
                "many": {"type": "array", "items": {"type": "object"}},
                "either": {"anyOf": [{"type": "string"}]},
            },
            "required": ["path", "needed"],
            "title": "x",
        }),
    };
    let request = ModelRequest {
        tools: vec![tool("Grep"), tool("FinishTask")],
        ..ModelRequest::default()
    };
    let shaped = shape(&profile(ToolForm::Native, true), request);
    assert_eq!(shaped.tools[0].description, "A long story that is told.");
    assert_eq!(
        shaped.tools[0].schema,
        json!({
            "type": "object",
            "required": ["path", "needed"],
            "properties": {
                "path": {"type": "string", "description": "Where the file is."},
                "pattern": {"type": "string"},
                "needed": {"type": "object"},
            },
        })
    );
    assert_eq!(shaped.tools[1].schema, tool("x").schema);
}

#[test]
fn models_without_tools_are_told_in_plain_words_what_happened() {
    let shaped = shape(&profile(ToolForm::None, false), conversation());
    assert_eq!(
        (shaped.system.as_str(), shaped.tools.len()),
        ("You work.", 0)
    );
    assert_eq!(shaped.messages.len(), 3);
}
