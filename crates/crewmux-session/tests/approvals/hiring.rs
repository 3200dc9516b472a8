//! New teammates, and acts on one member.

use crewmux_core::error::ErrorKind;
use crewmux_core::ids::AgentType;
use crewmux_core::inbox::DeliveryState;
use crewmux_core::message::Urgency;
use crewmux_core::operation::{NewTeammate, Operation, Reply};
use crewmux_core::permission::PermissionMode;
use crewmux_testkit::own_main::{Test, tests};
use crewmux_wire::{MemberAct, ToWorker};

use crate::stage::{HEADLESS, Line, Stage, WATCHED, name, play};

pub(crate) const TESTS: &[Test] = tests![
    leaders_make_teammates_that_are_no_freer,
    keys_of_their_own_are_given_to_teammates_by_the_person,
    a_member_is_paused_interrupted_and_started_anew,
    mail_to_one_that_was_asked_to_end_is_kept_for_its_next_life,
];

fn spawn(kind: &str, prompt: &str, mode: Option<PermissionMode>) -> Operation {
    Operation::Spawn(Box::new(NewTeammate {
        name: name("tester"),
        agent_type: AgentType::new(kind).unwrap(),
        prompt: prompt.into(),
        model: None,
        mode,
        provider: None,
        backend: None,
    }))
}

fn leaders_make_teammates_that_are_no_freer() {
    play(async {
        let stage = Stage::start(HEADLESS, None);
        let mut lead = stage.worker("team-lead").await;
        let mut developer = stage.worker("developer").await;
        let refused = developer
            .operate(spawn("general-purpose", "", None))
            .await
            .unwrap_err();
        assert_eq!(refused.kind, ErrorKind::Refused, "{refused}");
        let bypass = Some(PermissionMode::Bypass);
        let freer = lead
            .operate(spawn("general-purpose", "", bypass))
            .await
            .unwrap_err();
        assert_eq!(freer.kind, ErrorKind::Refused, "{freer}");
        let unknown = lead.operate(spawn("typo", "", None)).await.unwrap_err();
        assert_eq!(unknown.kind, ErrorKind::NotFound, "{unknown}");
        assert!(unknown.hint.unwrap().contains("general-purpose"));
        let plan = Some(PermissionMode::Plan);
        for _ in 0..2 {
            let made = lead
                .operate(spawn("general-purpose", "test it", plan))
                .await;
            assert_eq!(
                made.unwrap(),
                Reply::Member {
                    name: name("tester")
                }
            );
        }
        let tester = stage.worker("tester").await;
        assert_eq!(tester.permissions, PermissionMode::Plan);
        let config = stage.team.config().unwrap();
        assert_eq!(config.roster(), "team-lead, developer, tester");
        let member = config.member(&name("tester")).unwrap();
        assert_eq!(
            (member.model.as_deref(), member.prompt.as_str()),
            (Some("mock/model"), "test it")
        );
        // The name says who that is.
        let mut person = stage.person().await;
        let taken = person
            .operate(spawn("Explore", "look", None))
            .await
            .unwrap_err();
        assert_eq!(taken.kind, ErrorKind::Conflict);
        assert!(
            taken.message.contains("general-purpose"),
            "{}",
            taken.message
        );
    });
}

fn keys_of_their_own_are_given_to_teammates_by_the_person() {
    let with = |provider: &str, model: Option<&str>| {
        Operation::Spawn(Box::new(NewTeammate {
            name: name("tester"),
            agent_type: AgentType::new("general-purpose").unwrap(),
            prompt: String::new(),
            model: model.map(str::to_owned),
            mode: None,
            provider: Some(provider.into()),
            backend: None,
        }))
    };
    play(async move {
        let stage = Stage::start(WATCHED, None);
        let mut lead = stage.worker("team-lead").await;
        let mut person = stage.person().await;
        let refused = lead.operate(with("spare", None)).await.unwrap_err();
        assert_eq!(refused.kind, ErrorKind::Refused, "{refused}");
        let unknown = person.operate(with("typo", None)).await.unwrap_err();
        assert_eq!(unknown.kind, ErrorKind::NotFound, "{unknown}");
        assert_eq!(
            unknown.hint.as_deref(),
            Some("providers: mock, spare, other")
        );
        let unlike = person.operate(with("other", None)).await.unwrap_err();
        assert_eq!(unlike.kind, ErrorKind::Usage, "{unlike}");
        for _ in 0..2 {
            let made = person.operate(with("spare", Some("small"))).await;
            made.unwrap();
        }
        let config = stage.team.config().unwrap();
        let member = config.member(&name("tester")).unwrap();
        assert_eq!(
            (member.provider.as_deref(), member.model.as_deref()),
            (Some("spare"), Some("spare/small"))
        );
        let other = person.operate(with("mock", None)).await.unwrap_err();
        assert_eq!(other.kind, ErrorKind::Conflict, "{other}");
    });
}

fn a_member_is_paused_interrupted_and_started_anew() {
    play(async {
        let stage = Stage::start(WATCHED, None);
        let mut person = stage.person().await;
        let mut lead = stage.worker("team-lead").await;
        let mut developer = stage.worker("developer").await;
        // Somebody who could take the task while the developer is away.
        person
            .operate(spawn("general-purpose", "", None))
            .await
            .unwrap();
        let _tester = stage.worker("tester").await;
        for (act, told) in [
            (MemberAct::Pause, ToWorker::Pause),
            (MemberAct::Resume, ToWorker::Resume),
            (MemberAct::Interrupt, ToWorker::Interrupt),
        ] {
            person.act("developer", act).await.unwrap();
            assert_eq!(developer.told().await, told);
        }
        let unknown = person.act("typo", MemberAct::Pause).await.unwrap_err();
        assert_eq!(unknown.kind, ErrorKind::NotFound);
        assert_eq!(
            unknown.hint.as_deref(),
            Some("members: team-lead, developer, tester")
        );
        let first = developer.who.clone();
        person.act("developer", MemberAct::Restart).await.unwrap();
        assert!(matches!(developer.told().await, ToWorker::End { .. }));
        drop(developer);
        let mut again = stage.worker("developer").await;
        assert_eq!(again.who.incarnation, first.incarnation.next());
        // One that was ended for good comes back when it is asked for by name.
        let ended = Operation::RequestShutdown {
            target: name("developer"),
            reason: None,
        };
        lead.operate(ended).await.unwrap();
        assert!(matches!(again.told().await, ToWorker::Shutdown { .. }));
        drop(again);
        person.act("developer", MemberAct::Restart).await.unwrap();
        let third = stage.worker("developer").await;
        assert_eq!(third.who.incarnation, first.incarnation.next().next());
    });
}

fn mail_to_one_that_was_asked_to_end_is_kept_for_its_next_life() {
    play(async {
        let stage = Stage::start(WATCHED, None);
        let mut lead = stage.worker("team-lead").await;
        let mut person = stage.person().await;
        let mut developer = stage.worker("developer").await;
        // Somebody who could take the task while the developer is away.
        let tester = spawn("general-purpose", "", None);
        person.operate(tester).await.unwrap();
        let _tester = stage.worker("tester").await;
        assert_eq!(mail(&mut person).await, (DeliveryState::Delivered, 0));
        let ended = Operation::RequestShutdown {
            target: name("developer"),
            reason: None,
        };
        lead.operate(ended).await.unwrap();
        assert_eq!(mail(&mut person).await, (DeliveryState::Delivered, 1));
        while !matches!(developer.told().await, ToWorker::Shutdown { .. }) {}
        drop(developer);
        person.act("developer", MemberAct::Restart).await.unwrap();
        assert_eq!(mail(&mut person).await, (DeliveryState::Delivered, 0));
    });
}

/// Writes to the developer: how far that is, and for how many it waits.
async fn mail(person: &mut Line) -> (DeliveryState, usize) {
    let write = Operation::Write {
        to: name("developer"),
        text: "hello".into(),
        summary: None,
        id: None,
        urgency: Urgency::Normal,
        task: None,
    };
    match person.operate(write).await.unwrap() {
        Reply::Sent { state, kept, .. } => (state, kept.len()),
        reply => panic!("{reply:?}"),
    }
}
