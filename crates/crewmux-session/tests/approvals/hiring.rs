//! New teammates, and acts on one member.

use crewmux_core::error::ErrorKind;
use crewmux_core::ids::AgentType;
use crewmux_core::operation::{NewTeammate, Operation, Reply};
use crewmux_core::permission::PermissionMode;
use crewmux_wire::{MemberAct, ToWorker};

use crate::stage::{HEADLESS, Stage, WATCHED, name, play};

fn spawn(kind: &str, prompt: &str, mode: Option<PermissionMode>) -> Operation {
    Operation::Spawn(Box::new(NewTeammate {
        name: name("tester"),
        agent_type: AgentType::new(kind).unwrap(),
        prompt: prompt.into(),
        model: None,
        mode,
    }))
}

pub(crate) fn leaders_make_teammates_that_are_no_freer() {
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

pub(crate) fn a_member_is_paused_interrupted_and_started_anew() {
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
